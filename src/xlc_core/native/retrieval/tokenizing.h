// Texts to tokens, with the model's special tokens at the ends and a limit on the length.
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

    // The text's own tokens only, without the special ones that the model wants around it. The text itself
    // never becomes a control token.
    Tokens plain(std::string_view text) const;

    // The first `n_first` and the last `n_last` of the text's own tokens; all of them when there are no more.
    // Takes as long as those need and not as long as the text would, where the text can be split. Throws
    // request_cancelled when `stop` says so between two parts.
    using Stop = std::function<bool()>;
    Tokens ends(std::string_view text, size_t n_first, size_t n_last, const Stop& stop) const;

    // How many tokens a text gives that others follow: a space at its end becomes part of the next one's.
    size_t count_before(std::string_view text) const;

    // How many tokens plain() gives.
    size_t count(std::string_view text, const Stop& stop) const;

    // As `plain`, but names of control tokens become them: for templates of the model's own, never for a
    // user's text.
    Tokens with_control_tokens(std::string_view text) const;

    // The special tokens that the model wants before and after a text.
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
