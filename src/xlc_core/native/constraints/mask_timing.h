// For the constraint benchmark only: seconds per mask of all tokens, and llama.cpp's conversion of JSON
// schemas, for comparison. It is part of the module because only code inside it can time single masks of
// llama.cpp's grammar engine and of llguidance with llama.cpp's tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace xlc {

// Compute the mask before every nth token of a text (as the model would read it), and at its end. Return the
// seconds that each mask took. Ends early at a token that the constraint does not allow. For kind, data and
// errors see check_constraint().
std::vector<double> time_masks(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    std::string_view text,
    size_t every);

// Return the GBNF grammar that llama.cpp creates for a JSON schema. Throws Error(constraint) when llama.cpp
// refuses the schema.
std::string schema_to_gbnf(const std::string& schema);

} // namespace xlc
