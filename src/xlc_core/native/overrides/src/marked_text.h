// Tokenises texts with marks (support/text_mark.h), which llama.cpp's own function does not know.
#pragma once

#include "llama.h"

#include <functional>
#include <string>
#include <vector>

namespace xlc {

// Return the tokens of a text without control tokens in it.
using TokenizePlain = std::function<std::vector<llama_token>(const std::string& text, bool add_special)>;

// Return the parts of a text that are tokenised one by one, so that it names no token that is a template's
// mark (support/control_token.h). Most texts are one part.
std::vector<std::string> cut_own_marks(const llama_vocab* vocab, const std::string& text);

// Return the tokens of a text whose control tokens are parsed, except for the names that hold the mark: these
// are text, like all that is around them.
std::vector<llama_token> tokenize_marked(
    const llama_vocab* vocab,
    const std::string& text,
    const std::string& mark,
    bool add_special,
    const TokenizePlain& plain);

} // namespace xlc
