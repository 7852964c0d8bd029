#include "retrieval/tokenizing.h"

#include "support/errors.h"

#include <algorithm>
#include <climits>
#include <string>
#include <utility>

namespace xlc {

namespace {

// llama.cpp asserts that the special tokens that it adds exist. A damaged file may lack them.
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

Tokenizer::Tokenizer(const llama_vocab* vocab) : vocab_(vocab), splitter_(vocab) {
    check_specials(vocab);
    after_ = tokenize("", true, false);
    if (!after_.empty() && after_.front() == llama_vocab_bos(vocab)) {
        before_.push_back(after_.front());
        after_.erase(after_.begin());
    }
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
    // This guess is nearly always enough. If not, llama_tokenize returns the number of tokens.
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

// Return the tokens of text[begin, end) as they are in the whole text. Both ends are boundaries or the text's
// ends. The start of a text may be tokenised differently, so the word before is tokenised too and its tokens
// are removed.
Tokens Tokenizer::part(std::string_view text, size_t begin, size_t end) const {
    if (begin == 0) {
        return plain(text.substr(0, end));
    }
    const size_t before = splitter_.boundary_before(text, begin);
    const size_t n_before = plain(text.substr(before, begin - before)).size();
    Tokens tokens = plain(text.substr(before, end - before));
    tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n_before));
    return tokens;
}

Tokens Tokenizer::ends(std::string_view text, size_t n_first, size_t n_last, const Stop& stop) const {
    const auto check_stop = [&stop] {
        if (stop && stop()) {
            throw Error(ErrorKind::request_cancelled, "the request was cancelled");
        }
    };
    const bool splits = splitter_.is_long(text);
    Tokens first;
    size_t end = 0; // `first` has the tokens of the text up to here
    while (end < text.size() && first.size() < n_first) {
        check_stop();
        const size_t begin = end;
        end = splits ? splitter_.end_of_part(text, begin) : text.size();
        append(first, part(text, begin, end));
    }
    Tokens last;
    size_t begin = text.size();
    while (begin > end && last.size() < n_last) {
        check_stop();
        const size_t part_end = begin;
        begin = splits ? splitter_.begin_of_part(text, part_end, end) : end;
        Tokens tokens = part(text, begin, part_end);
        append(tokens, last);
        last = std::move(tokens);
    }
    if (begin > end) { // the text between was not tokenised
        first.resize(std::min(first.size(), n_first));
        last.erase(last.begin(), last.end() - static_cast<std::ptrdiff_t>(std::min(last.size(), n_last)));
    }
    append(first, last);
    if (first.size() > n_first && first.size() - n_first > n_last) {
        first.erase(
            first.begin() + static_cast<std::ptrdiff_t>(n_first),
            first.end() - static_cast<std::ptrdiff_t>(n_last));
    }
    return first;
}

size_t Tokenizer::count_before(std::string_view text) const {
    return plain(text.substr(0, text.find_last_not_of(' ') + 1)).size();
}

size_t Tokenizer::count(std::string_view text, const Stop& stop) const {
    return ends(text, SIZE_MAX, 0, stop).size();
}

void append(Tokens& tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
}

} // namespace xlc
