// The tokens that a grammar leaves no choice about, such as the keys of a JSON object.
#pragma once

#include "llama.h"

#include <vector>

namespace xlc {

// At most n_max tokens that must follow what an llguidance sampler has accepted; none when there is a choice,
// the model's tokenizer does not write the forced text as the model would (LlgTokenizer), or the sampler is
// another's.
std::vector<llama_token> forced_tokens(const llama_sampler* grammar, int32_t n_max);

// Whether the sampler is llguidance's, which says so.
bool can_force_tokens(const llama_sampler* grammar);

} // namespace xlc
