// Checks that a constraint is well-formed and that a text satisfies it, without running a model.
//
// kind is "lark" (llguidance; these grammars also hold regular expressions and JSON schemas) or "gbnf"
// (llama.cpp's grammars). vocab may be null: then texts are read byte by byte, and a grammar cannot name a
// model's tokens. All functions may take milliseconds to seconds. They hold no lock that requests need, and
// do not need the GIL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct llama_vocab;

namespace xlc {

// Where a text leaves its constraint.
struct Explanation {
    bool accepted = false;             // the whole text satisfies the constraint
    bool complete = false;             // the allowed part alone satisfies the constraint
    size_t n_bytes = 0;                // length of the allowed part, in bytes
    std::vector<std::string> expected; // some of the tokens (without a model: bytes) that may follow it
};

// Throws Error(constraint) with the place and the reason when the constraint is malformed, unsupported or
// cannot be satisfied, and Error(unsupported_feature) when llguidance is missing.
void check_constraint(const llama_vocab* vocab, const std::string& kind, const std::string& data);

// Compile a grammar for a model's tokens before an answer needs it; does nothing for an empty
// grammar or GBNF. Throws Error(constraint).
void compile_constraint(const llama_vocab* vocab, const std::string& grammar);

// Return whether the whole text satisfies the constraint. Throws the errors of check_constraint.
bool accepts(
    const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text);

// Return how far the text satisfies the constraint, and what may follow. Throws the errors of
// check_constraint.
Explanation
explain(const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text);

// Return the number of the control token with a name such as "</think>", or -1 if the model does not have
// this token. A Lark grammar can name such a token only by number, as <[128]>.
int32_t control_token(const llama_vocab* vocab, const std::string& text);

// Return a text in pieces: control tokens with their numbers, and the text between them with -1.
std::vector<std::pair<std::string, int32_t>>
cut_at_control_tokens(const llama_vocab* vocab, const std::string& text);

// Return the text that ends an answer which begins with `text`, to try a constraint without running a model.
// nullopt when no ending of at most n_max tokens is found. Throws the errors of check_constraint.
std::optional<std::string> ending_of(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    const std::string& text,
    int32_t n_max);

} // namespace xlc
