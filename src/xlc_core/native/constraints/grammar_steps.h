// Trying tokens on a grammar's sampler.
#pragma once

#include "llama.h"

#include <cmath>
#include <cstddef>
#include <vector>

namespace xlc {

inline bool fits(llama_sampler* grammar, llama_token token) {
    llama_token_data candidate = {token, 1.0f, 0.0f};
    llama_token_data_array candidates = {&candidate, 1, -1, false};
    llama_sampler_apply(grammar, &candidates);
    return !std::isinf(candidate.logit);
}

// Return how many of the tokens fit, one after the other. The grammar stays where it is: a copy of
// llguidance's takes milliseconds, so this does without.
size_t count_fitting(const llama_sampler* grammar, const std::vector<llama_token>& tokens);

} // namespace xlc
