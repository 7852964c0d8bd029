// Trying tokens on a grammar's sampler.
#pragma once

#include "common.h"
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

// Return the first of the tokens that the grammar allows.
inline llama_token first_that_fits(llama_sampler* grammar, const std::vector<llama_token>& tokens) {
    std::vector<llama_token_data> candidates;
    candidates.reserve(tokens.size());
    for (const llama_token id : tokens) {
        candidates.push_back({id, 1.0f, 0.0f});
    }
    llama_token_data_array array = {candidates.data(), candidates.size(), -1, false};
    if (array.size > 0) {
        llama_sampler_apply(grammar, &array);
    }
    for (const llama_token_data& candidate : candidates) {
        if (!std::isinf(candidate.logit)) {
            return candidate.id;
        }
    }
    return LLAMA_TOKEN_NULL;
}

// Return the token with the longest text that the grammar allows, for places where no usual character fits.
inline llama_token any_that_fits(llama_sampler* grammar, const llama_vocab* vocab) {
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    std::vector<llama_token_data> tokens(static_cast<size_t>(n_vocab));
    for (llama_token id = 0; id < n_vocab; ++id) {
        tokens[static_cast<size_t>(id)] = {id, 1.0f, 0.0f};
    }
    llama_token_data_array candidates = {tokens.data(), tokens.size(), -1, false};
    llama_sampler_apply(grammar, &candidates);
    llama_token best = LLAMA_TOKEN_NULL;
    size_t best_length = 0;
    for (size_t i = 0; i < candidates.size; ++i) {
        const llama_token_data& candidate = candidates.data[i];
        if (std::isinf(candidate.logit)) {
            continue;
        }
        const size_t length = common_token_to_piece(vocab, candidate.id, false).size();
        if (length > best_length) {
            best = candidate.id;
            best_length = length;
        }
    }
    return best;
}

} // namespace xlc
