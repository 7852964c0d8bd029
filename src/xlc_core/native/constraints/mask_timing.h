// What the constraint benchmark measures: seconds per mask of all tokens, and llama.cpp's own conversion of
// JSON schemas for comparison. Nothing here serves requests.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace xlc {

// Computes the mask before every nth token of a text (as the model would read it), and at its end, and gives
// the seconds that each took. Ends early at a token that the constraint does not allow. kind and data are
// those of check_constraint(), and so are the errors.
std::vector<double> time_masks(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    std::string_view text,
    size_t every);

// The GBNF that llama.cpp makes of a JSON schema. Throws Error(constraint) when it refuses to.
std::string schema_to_gbnf(const std::string& schema);

} // namespace xlc
