// Checks of grammars for llama.cpp's own engine, which on bad ones recurses, loops or aborts.
#pragma once

#include "constraints/checker.h"

namespace xlc::gbnf {

// Throws Error(constraint) with the place and the reason.
void check(const llama_vocab* vocab, const std::string& grammar);

// As xlc::explain.
Explanation explain(const llama_vocab* vocab, const std::string& grammar, std::string_view text);

} // namespace xlc::gbnf
