#include "overrides/src/marked_text.h"

#include "support/control_token.h"
#include "support/interruption.h"
#include "support/text_mark.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>
#include <utility>

namespace xlc {

namespace {

// A part of the text: one token that was found by its name, or text.
struct Part {
    size_t begin;
    size_t end;
    llama_token token; // LLAMA_TOKEN_NULL for text
};

bool has(const llama_vocab* vocab, llama_token token, int attributes) {
    return (static_cast<int>(llama_vocab_get_attr(vocab, token)) & attributes) != 0;
}

// The longest names first, as llama.cpp looks for them.
std::vector<llama_token> named_tokens(const llama_vocab* vocab) {
    constexpr int kinds = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
    std::vector<std::pair<size_t, llama_token>> found;
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
        const size_t length = has(vocab, token, kinds) ? std::strlen(llama_vocab_get_text(vocab, token)) : 0;
        if (length > 0) {
            found.emplace_back(length, token);
        }
    }
    std::stable_sort(
        found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<llama_token> out;
    out.reserve(found.size());
    for (const auto& [length, token] : found) {
        out.push_back(token);
    }
    return out;
}

// Cut the texts among the parts at a token's name. The rules about white space around it are llama.cpp's.
std::vector<Part>
cut(const llama_vocab* vocab, const std::string& text, const std::vector<Part>& parts, llama_token token) {
    const std::string_view name = llama_vocab_get_text(vocab, token);
    const auto is_space = [&](size_t at) { return std::isspace(static_cast<unsigned char>(text[at])) != 0; };
    std::vector<Part> out;
    for (const Part& part : parts) {
        size_t begin = part.begin;
        while (part.token == LLAMA_TOKEN_NULL) {
            const size_t at = std::string_view(text).substr(0, part.end).find(name, begin);
            if (at == std::string_view::npos) {
                break;
            }
            check_stop();
            size_t end = at;
            while (has(vocab, token, LLAMA_TOKEN_ATTR_LSTRIP) && end > begin && is_space(end - 1)) {
                end--;
            }
            if (end > begin) {
                out.push_back({begin, end, LLAMA_TOKEN_NULL});
            }
            out.push_back({at, at + name.size(), token});
            begin = at + name.size();
            while (has(vocab, token, LLAMA_TOKEN_ATTR_RSTRIP) && begin < part.end && is_space(begin)) {
                begin++;
            }
        }
        if (begin < part.end) {
            out.push_back({begin, part.end, part.token});
        }
    }
    return out;
}

// Where a text is cut so that it does not name a token that is a template's mark.
std::vector<size_t> cuts_in_own_marks(const llama_vocab* vocab, const std::string& text) {
    std::vector<size_t> cuts;
    if (text.find("<|") == std::string::npos && text.find("<｜") == std::string::npos) {
        return cuts;
    }
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
        if (!is_own_mark(vocab, token)) {
            continue;
        }
        const std::string_view name = llama_vocab_get_text(vocab, token);
        for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
            check_stop();
            cuts.push_back(at + 1); // behind "<"
        }
    }
    std::sort(cuts.begin(), cuts.end());
    return cuts;
}

// The tokens of a text, and those around it.
class Tokens {
public:
    Tokens(const llama_vocab* vocab, bool add_special, const TokenizePlain& plain) : plain_(plain) {
        if (add_special) {
            after_ = plain("", true);
            if (!after_.empty() && after_.front() == llama_vocab_bos(vocab)) {
                found_.push_back(after_.front());
                after_.erase(after_.begin());
            }
        }
    }

    void add(llama_token token) { found_.push_back(token); }
    void add(const std::string& text) { add(plain_(text, false)); }
    void add(const std::vector<llama_token>& tokens) {
        found_.insert(found_.end(), tokens.begin(), tokens.end());
    }

    std::vector<llama_token> finish() {
        add(after_);
        return std::move(found_);
    }

private:
    const TokenizePlain& plain_;
    std::vector<llama_token> found_;
    std::vector<llama_token> after_;
};

} // namespace

std::vector<llama_token> tokenize_text(
    const llama_vocab* vocab, const std::string& text, bool add_special, const TokenizePlain& plain) {
    const std::vector<size_t> cuts = cuts_in_own_marks(vocab, text);
    if (cuts.empty()) {
        return plain(text, add_special);
    }
    Tokens out(vocab, add_special, plain);
    size_t begin = 0;
    for (const size_t end : cuts) {
        out.add(text.substr(begin, end - begin));
        begin = end;
    }
    out.add(text.substr(begin));
    return out.finish();
}

std::vector<llama_token> tokenize_marked(
    const llama_vocab* vocab,
    const std::string& text,
    const std::string& mark,
    bool add_special,
    const TokenizePlain& plain) {
    std::vector<Part> parts = {{0, text.size(), LLAMA_TOKEN_NULL}};
    for (const llama_token token : named_tokens(vocab)) {
        parts = cut(vocab, text, parts, token);
    }

    Tokens out(vocab, add_special, plain);
    // Texts between two control tokens are tokenised as one, with the user's own tokens, which text may name.
    for (size_t i = 0; i < parts.size();) {
        if (parts[i].token != LLAMA_TOKEN_NULL && is_control(vocab, parts[i].token)) {
            out.add(parts[i++].token);
            continue;
        }
        const size_t begin = parts[i].begin;
        size_t end = begin;
        while (i < parts.size() &&
               (parts[i].token == LLAMA_TOKEN_NULL || !is_control(vocab, parts[i].token))) {
            end = parts[i++].end;
        }
        const std::string part = without_mark(text.substr(begin, end - begin), mark);
        out.add(tokenize_text(vocab, part, false, plain));
    }
    return out.finish();
}

} // namespace xlc
