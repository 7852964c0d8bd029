// Whether a constraint is well-formed and whether a text satisfies it, without running a model.
//
// kind is "lark" (llguidance; its texts carry regular expressions and JSON schemas too) or "gbnf"
// (llama.cpp's own grammars). vocab may be null: then texts are read byte by byte and a grammar cannot name a
// model's tokens. All functions may take milliseconds to seconds, block nothing, and need no GIL.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace xlc {

// Where a text leaves its constraint.
struct Explanation {
    bool accepted = false;             // the whole text satisfies the constraint
    bool complete = false;             // the part that was consumed would satisfy it, if it ended there
    size_t n_bytes = 0;                // bytes of the text that the constraint allows
    std::vector<std::string> expected; // some of the tokens (without a model: bytes) that may come there
};

// Throws Error(constraint) with the place and the reason when the constraint is malformed, unsupported or
// cannot be satisfied, and Error(unsupported_feature) when llguidance is not there.
void check_constraint(const llama_vocab* vocab, const std::string& kind, const std::string& data);

// Does the whole text satisfy the constraint? Throws as check_constraint does.
bool accepts(
    const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text);

// How far the text satisfies the constraint, and what might come there. Throws as check_constraint does.
Explanation
explain(const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text);

// The number of the one control token that a text such as "</think>" is to this model, or -1. A Lark grammar
// can name such a token only by number, as <[128]>.
int32_t control_token(const llama_vocab* vocab, const std::string& text);

} // namespace xlc
