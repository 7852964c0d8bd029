// Finds the tokens that a grammar forces, such as the keys of a JSON object.
#pragma once

#include "llama.h"

#include <vector>

namespace xlc {

// Return at most n_max tokens that must follow the tokens that an llguidance sampler has accepted. Empty in
// four cases: several tokens may follow; the grammar has not begun; the tokenizer's tokens for the forced
// text differ from those that the model would write (LlgTokenizer); or the sampler is not llguidance's.
std::vector<llama_token> forced_tokens(const llama_sampler* grammar, int32_t n_max);

// Whether the sampler is llguidance's, the only kind that knows its forced tokens; perhaps inside others.
bool can_force_tokens(const llama_sampler* grammar);

} // namespace xlc
