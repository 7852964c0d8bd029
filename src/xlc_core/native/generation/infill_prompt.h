// From the code around a gap to the prompt that has a model fill it.
#pragma once

#include "generation/request.h"

#include "llama.h"

namespace xlc {

struct InfillLayout {
    int32_t n_tokens = 0;      // that the prompt may have
    bool suffix_first = false; // as some models were trained
};

// The tokens as llama.cpp's server lays them out (format_prompt_infill), which cannot be called here: it
// keeps tokens of the first model of the process, and cuts to its batch size what would fit into the context.
// Code far from the gap is left away when not all of it fits: extra files first, then the ends of the prefix
// and suffix, in the ratio 3:1. Throws Error(unsupported_feature) for a model that knows no infill tokens.
std::vector<llama_token>
infill_tokens(const InfillPrompt& prompt, const llama_vocab* vocab, const InfillLayout& layout);

} // namespace xlc
