// What overrides/ adds to llama.cpp's speculative decoding: drafts of the tokens that a grammar forces.
#pragma once

#include "support/errors.h"

#include "common.h"
#include "llama.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct common_sampler;
struct common_speculative;

namespace xlc {

// The most tokens that a grammar drafts at once; longer runs come in several steps. Every sequence of a
// context holds logits for one more than this.
constexpr int32_t max_forced_tokens = 16;

// How a sequence drafts from now on.
struct Drafting {
    const common_sampler* sampler =
        nullptr;       // whose grammar forces tokens; lives until the sequence's next call
    int32_t n_max = 0; // forced tokens at once
    bool off = false;  // nothing is drafted, by others neither
};

// A spec of nullptr is taken.
void set_drafting(common_speculative* spec, llama_seq_id sequence, const Drafting& drafting);

// What became of the speculation that the last engine was asked for which this thread has loaded.
struct SpeculationReport {
    std::vector<common_speculative_type> active;
    std::string failure;
    std::optional<Error> refused;
};
SpeculationReport& last_speculation();

// The grammar of a sampler, or nullptr. common_sampler has no accessor of its own.
llama_sampler* grammar_of(const common_sampler* sampler);

} // namespace xlc
