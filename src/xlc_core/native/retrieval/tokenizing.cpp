#include "retrieval/tokenizing.h"

#include "errors.h"

#include <climits>
#include <string>

namespace xlc {

namespace {

// llama.cpp asserts that the tokens it is to add exist; a damaged file may lack them.
void check_specials(const llama_vocab* vocab) {
    const enum llama_vocab_type type = llama_vocab_type(vocab);
    const char* missing = nullptr;
    if (type == LLAMA_VOCAB_TYPE_NONE) {
        missing = "a tokenizer";
    } else if (
        (type == LLAMA_VOCAB_TYPE_WPM || llama_vocab_get_add_bos(vocab)) &&
        llama_vocab_bos(vocab) == LLAMA_TOKEN_NULL) {
        missing = "the token for the beginning of a text";
    } else if (type == LLAMA_VOCAB_TYPE_WPM && llama_vocab_sep(vocab) == LLAMA_TOKEN_NULL) {
        missing = "the separator token";
    } else if (
        type != LLAMA_VOCAB_TYPE_WPM && llama_vocab_get_add_eos(vocab) &&
        llama_vocab_eos(vocab) == LLAMA_TOKEN_NULL) {
        missing = "the token for the end of a text";
    }
    if (missing) {
        throw Error(
            ErrorKind::unsupported_feature, std::string("the model file lacks ") + missing +
                                                "; convert the model again, or take another file of it");
    }
}

} // namespace

Tokenizer::Tokenizer(const llama_vocab* vocab) : vocab_(vocab) {
    check_specials(vocab);
    const Tokens specials = with_specials("");
    const bool begins = !specials.empty() && specials.front() == llama_vocab_bos(vocab);
    n_before_ = begins ? 1 : 0;
    n_after_ = specials.size() - n_before_;
}

Tokens Tokenizer::with_specials(std::string_view text) const {
    return tokenize(text, true, false);
}

Tokens Tokenizer::plain(std::string_view text) const {
    return tokenize(text, false, false);
}

Tokens Tokenizer::with_control_tokens(std::string_view text) const {
    return tokenize(text, false, true);
}

Tokens Tokenizer::tokenize(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > INT32_MAX) {
        throw Error(
            ErrorKind::invalid_request,
            "a text of " + std::to_string(text.size()) + " bytes is more than the tokenizer takes; split it");
    }
    const auto n_bytes = static_cast<int32_t>(text.size());
    // A guess that is nearly always enough; llama_tokenize says how many there are when it is not.
    Tokens tokens(text.size() / 2 + 16);
    int32_t n = llama_tokenize(
        vocab_, text.data(), n_bytes, tokens.data(), static_cast<int32_t>(tokens.size()), add_special,
        parse_special);
    if (n < 0 && n != INT32_MIN) {
        tokens.resize(static_cast<size_t>(-n));
        n = llama_tokenize(vocab_, text.data(), n_bytes, tokens.data(), -n, add_special, parse_special);
    }
    if (n < 0) {
        throw Error(ErrorKind::invalid_request, "a text has too many tokens to count; split it");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
}

void drop_tokens(Tokens& tokens, size_t n_before, size_t n_after, size_t limit, Truncate side) {
    if (tokens.size() <= limit) {
        return;
    }
    const auto n_drop = static_cast<std::ptrdiff_t>(tokens.size() - limit);
    const auto first = side == Truncate::start ? tokens.begin() + static_cast<std::ptrdiff_t>(n_before)
                                               : tokens.end() - static_cast<std::ptrdiff_t>(n_after) - n_drop;
    tokens.erase(first, first + n_drop);
}

} // namespace xlc
