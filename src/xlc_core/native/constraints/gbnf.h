// Checks grammars for llama.cpp's grammar engine, which recurses, loops or aborts on bad ones.
#pragma once

#include "constraints/checker.h"

namespace xlc::gbnf {

// Throws Error(constraint) with the place and the reason.
void check(const llama_vocab* vocab, const std::string& grammar);

// See xlc::explain.
Explanation explain(const llama_vocab* vocab, const std::string& grammar, std::string_view text);

} // namespace xlc::gbnf
