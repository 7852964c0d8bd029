// What overrides/ adds to llama.cpp's speculative decoding: drafts of the tokens that a grammar forces.
#pragma once

#include "common.h"
#include "llama.h"

#include <cstdint>

struct common_sampler;
struct common_speculative;

namespace xlc {

// The most tokens that a grammar drafts at once; longer runs come in several steps. Every sequence of a
// context holds logits for one more than this.
constexpr int32_t max_forced_tokens = 16;

// From now on the sequence drafts what the sampler's grammar forces, at most n_max tokens at once. The
// sampler must live until the next call for the sequence; nullptr drafts nothing. A spec of nullptr is taken.
void draft_forced_tokens(
    common_speculative* spec, llama_seq_id sequence, const common_sampler* sampler, int32_t n_max);

// The grammar of a sampler, or nullptr. common_sampler has no accessor of its own.
llama_sampler* grammar_of(const common_sampler* sampler);

} // namespace xlc
