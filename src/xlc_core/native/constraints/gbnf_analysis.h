// What a GBNF grammar's rules do before they read a character: the part of a grammar that can hang llama.cpp.
#pragma once

#include "llama-grammar.h"

#include <cstdint>
#include <optional>

namespace xlc::gbnf {

struct LeftStructure {
    std::optional<uint32_t>
        left_recursive;         // a rule that comes back to itself, with more to do, reading nothing
    uint64_t longest_chain = 0; // rules that begin with a rule, one after another
    uint64_t most_paths = 0;    // ways from a rule down to its first characters
};

// Linear in the size of the grammar, and without recursion. Every rule that is referred to must be there.
LeftStructure analyse(const llama_grammar_rules& rules);

} // namespace xlc::gbnf
