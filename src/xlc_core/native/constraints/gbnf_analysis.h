// Analyses what the rules of a GBNF grammar do before they read a character. This is where a grammar can make
// llama.cpp hang.
#pragma once

#include "llama-grammar.h"

#include <cstdint>
#include <optional>

namespace xlc::gbnf {

struct LeftStructure {
    std::optional<uint32_t>
        left_recursive;         // a rule that reaches itself without reading, and adds work each time
    uint64_t longest_chain = 0; // number of rules that begin with each other, one after another
    uint64_t most_paths = 0;    // number of ways from a rule to its first characters
};

// Takes time linear in the size of the grammar and does not recurse. Every rule that is used must be defined.
LeftStructure analyse(const llama_grammar_rules& rules);

} // namespace xlc::gbnf
