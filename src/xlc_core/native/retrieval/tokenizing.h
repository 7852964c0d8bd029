// Turns texts into tokens, with the model's special tokens at the ends and a limit on the length.
#pragma once

#include "retrieval/long_text.h"

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace xlc {

using Tokens = std::vector<llama_token>;

void append(Tokens& tokens, const Tokens& more);

// How to treat an input that has more tokens than the model can read.
enum class Truncate { error, end, start };

// One input of the model.
struct TokenSequence {
    Tokens tokens;
    // Index of the first token of sentence B, the second of a pair. Tokens before it belong to sentence A.
    size_t sentence_b = SIZE_MAX;
    // With so many tokens all sequences of the job begin, and they are computed once.
    size_t n_shared = 0;

    size_t n_own() const { return tokens.size() - n_shared; }
};

// Tokenises for one vocabulary. Const and safe to call from several threads.
class Tokenizer {
public:
    // Throws unsupported_feature for an unusable vocabulary, on which llama.cpp would abort.
    explicit Tokenizer(const llama_vocab* vocab);

    // Return the text's tokens without the special tokens that the model needs around a text. The text itself
    // never becomes a control token.
    Tokens plain(std::string_view text) const;

    // Return the first `n_first` and the last `n_last` of the text's tokens, or all tokens if there are not
    // more. If the text can be split, only these parts are tokenised. `stop` is called between two parts;
    // throws request_cancelled when it returns true.
    using Stop = std::function<bool()>;
    Tokens ends(std::string_view text, size_t n_first, size_t n_last, const Stop& stop) const;

    // Return the number of tokens of a text that is followed by more text. A space at its end then becomes
    // part of the next token.
    size_t count_before(std::string_view text) const;

    // Return the number of tokens of plain(text).
    size_t count(std::string_view text, const Stop& stop) const;

    // Like plain(), but a control token's name becomes that token. For the model's own templates, never for a
    // user's text.
    Tokens with_control_tokens(std::string_view text) const;

    // The special tokens that the model needs before and after a text.
    const Tokens& before() const { return before_; }
    const Tokens& after() const { return after_; }

    const llama_vocab* vocab() const { return vocab_; }

private:
    Tokens tokenize(std::string_view text, bool add_special, bool parse_special) const;

    Tokens part(std::string_view text, size_t begin, size_t end) const;

    const llama_vocab* vocab_;
    TextSplitter splitter_;
    Tokens before_;
    Tokens after_;
};

} // namespace xlc
