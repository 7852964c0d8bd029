// Splits texts by a tokenizer's regular expressions like llama.cpp, but on a stack that is deep enough.
#pragma once

#include <string>
#include <vector>

namespace xlc {

// Like llama.cpp's unicode_regex_split. That function mostly uses std::regex, which recurses once for every
// character of a match: 30,000 letters without a space overflow a stack of 8 MiB and end the process.
std::vector<std::string>
split_by_regexes(const std::string& text, const std::vector<std::string>& regexes, bool byte_encode);

} // namespace xlc
