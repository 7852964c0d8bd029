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

} // namespace

std::vector<std::string> cut_own_marks(const llama_vocab* vocab, const std::string& text) {
    std::vector<size_t> cuts;
    if (text.find("<|") != std::string::npos || text.find("<｜") != std::string::npos) {
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
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.push_back(text.size());
    std::vector<std::string> out;
    size_t begin = 0;
    for (const size_t end : cuts) {
        out.push_back(text.substr(begin, end - begin));
        begin = end;
    }
    return out;
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

    // The tokens around a whole text.
    std::vector<llama_token> out;
    std::vector<llama_token> after;
    if (add_special) {
        after = plain("", true);
        if (!after.empty() && after.front() == llama_vocab_bos(vocab)) {
            out.push_back(after.front());
            after.erase(after.begin());
        }
    }
    const auto append = [&](const std::vector<llama_token>& tokens) {
        out.insert(out.end(), tokens.begin(), tokens.end());
    };

    // Texts between two control tokens are tokenised as one, with the user's own tokens, which text may name.
    for (size_t i = 0; i < parts.size();) {
        if (parts[i].token != LLAMA_TOKEN_NULL && is_control(vocab, parts[i].token)) {
            out.push_back(parts[i++].token);
            continue;
        }
        const size_t begin = parts[i].begin;
        size_t end = begin;
        while (i < parts.size() &&
               (parts[i].token == LLAMA_TOKEN_NULL || !is_control(vocab, parts[i].token))) {
            end = parts[i++].end;
        }
        append(plain(without_mark(text.substr(begin, end - begin), mark), false));
    }
    append(after);
    return out;
}

} // namespace xlc
