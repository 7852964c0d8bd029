// Texts to tokens, with the model's special tokens at the ends and a limit on the length.
#pragma once

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace xlc {

using Tokens = std::vector<llama_token>;

// What to do with an input that has more tokens than the model takes.
enum class Truncate { error, end, start };

// One input of the model.
struct TokenSequence {
    Tokens tokens;
    // Tokens from here on are of sentence B, the second of a pair; those before are of sentence A.
    size_t sentence_b = SIZE_MAX;
};

// Tokenises for one vocabulary. Const and safe to call from several threads.
class Tokenizer {
public:
    // Throws unsupported_feature for a vocabulary that cannot be used, on which llama.cpp would abort.
    explicit Tokenizer(const llama_vocab* vocab);

    // With the special tokens that the model wants around a text. The text itself never becomes a control
    // token.
    Tokens with_specials(std::string_view text) const;

    // The text's own tokens only.
    Tokens plain(std::string_view text) const;

    // As `plain`, but names of control tokens become them: for templates of the model's own, never for a
    // user's text.
    Tokens with_control_tokens(std::string_view text) const;

    // How many special tokens with_specials() puts before and after a text.
    size_t n_before() const { return n_before_; }
    size_t n_after() const { return n_after_; }

    const llama_vocab* vocab() const { return vocab_; }

private:
    Tokens tokenize(std::string_view text, bool add_special, bool parse_special) const;

    const llama_vocab* vocab_;
    size_t n_before_ = 0;
    size_t n_after_ = 0;
};

// Drop tokens so that at most `limit` are left: those at the start or the end of the part between the first
// `n_before` and the last `n_after`, which stay. Needs n_before + n_after <= limit.
void drop_tokens(Tokens& tokens, size_t n_before, size_t n_after, size_t limit, Truncate side);

} // namespace xlc
