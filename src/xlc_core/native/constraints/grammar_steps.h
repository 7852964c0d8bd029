// Trying tokens on a grammar's sampler.
#pragma once

#include "llama.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace xlc {

inline bool fits(llama_sampler* grammar, llama_token token) {
    llama_token_data candidate = {token, 1.0f, 0.0f};
    llama_token_data_array candidates = {&candidate, 1, -1, false};
    llama_sampler_apply(grammar, &candidates);
    return !std::isinf(candidate.logit);
}

// Accept tokens up to the first that does not fit. Return whether all did.
inline bool accept_all(llama_sampler* grammar, const std::vector<llama_token>& tokens) {
    return std::all_of(tokens.begin(), tokens.end(), [grammar](llama_token token) {
        if (!fits(grammar, token)) {
            return false;
        }
        llama_sampler_accept(grammar, token);
        return true;
    });
}

} // namespace xlc
