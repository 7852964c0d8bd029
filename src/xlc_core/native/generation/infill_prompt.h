// Builds the prompt that makes a model fill a gap in code.
#pragma once

#include "generation/request.h"

#include "llama.h"

namespace xlc {

struct InfillLayout {
    int32_t n_tokens = 0;      // limit for the prompt
    bool suffix_first = false; // some models were trained with this order
};

// Return the tokens in the layout of llama.cpp's server (format_prompt_infill). That function cannot be used:
// it keeps the tokens of the process's first model, and truncates to its batch size instead of the context.
// If the code does not fit, parts far from the gap are left out: extra files first, then the start of the
// prefix and the end of the suffix, in the ratio 3:1. Throws Error(unsupported_feature) for a model without
// infill tokens.
std::vector<llama_token>
infill_tokens(const InfillPrompt& prompt, const llama_vocab* vocab, const InfillLayout& layout);

} // namespace xlc
