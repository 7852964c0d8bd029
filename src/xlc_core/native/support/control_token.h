// Which tokens a text must not name: they begin and end what a chat template writes.
#pragma once

#include "llama.h"

#include <string_view>

namespace xlc {

// llama.cpp makes a template's marks the user's own tokens where they must be shown in answers, such as
// <|start|> and <|channel|> of gpt-oss. It finds the user's own tokens in any text.
inline bool is_own_mark(const llama_vocab* vocab, llama_token token) {
    if ((static_cast<int>(llama_vocab_get_attr(vocab, token)) & LLAMA_TOKEN_ATTR_USER_DEFINED) == 0) {
        return false;
    }
    const std::string_view name = llama_vocab_get_text(vocab, token);
    const auto encloses = [name](std::string_view begin, std::string_view end) {
        return name.size() > begin.size() + end.size() && name.substr(0, begin.size()) == begin &&
               name.substr(name.size() - end.size()) == end;
    };
    return encloses("<|", "|>") || encloses("<｜", "｜>");
}

inline bool is_control(const llama_vocab* vocab, llama_token token) {
    constexpr int kinds = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN;
    return (static_cast<int>(llama_vocab_get_attr(vocab, token)) & kinds) != 0 || is_own_mark(vocab, token);
}

} // namespace xlc
