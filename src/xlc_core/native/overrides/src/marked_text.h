// Tokenises texts with marks (support/text_mark.h), which llama.cpp's own function does not know.
#pragma once

#include "llama.h"

#include <functional>
#include <string>
#include <vector>

namespace xlc {

// Returns the tokens of a text without control tokens in it. The user's own tokens are found.
using TokenizePlain = std::function<std::vector<llama_token>(const std::string& text, bool add_special)>;

// Return the tokens of a text without control tokens in it, nor those that are a template's mark
// (support/control_token.h).
std::vector<llama_token> tokenize_text(
    const llama_vocab* vocab, const std::string& text, bool add_special, const TokenizePlain& plain);

// Return the tokens of a text whose control tokens are parsed, except for the names that hold the mark: these
// are text, like all that is around them.
std::vector<llama_token> tokenize_marked(
    const llama_vocab* vocab,
    const std::string& text,
    const std::string& mark,
    bool add_special,
    const TokenizePlain& plain);

} // namespace xlc
