// Our addition to llama.cpp's speculative decoding: drafts of the tokens that a grammar forces.
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

// The most forced tokens in one draft; longer runs need several steps. Every sequence of a context holds
// logits for one more token than this.
constexpr int32_t max_forced_tokens = 16;

// How a sequence drafts.
struct Drafting {
    const common_sampler* sampler =
        nullptr;       // its grammar forces tokens; it lives until the sequence's next call
    int32_t n_max = 0; // most forced tokens in a draft
    bool off = false;  // no drafts of any kind
};

// `spec` may be nullptr.
void set_drafting(common_speculative* spec, llama_seq_id sequence, const Drafting& drafting);

// Result of setting up speculation for the engine loaded last on this thread.
struct SpeculationReport {
    std::vector<common_speculative_type> active;
    std::string failure;
    std::optional<Error> refused;
};
SpeculationReport& last_speculation();

// Return the grammar of a sampler, or nullptr. common_sampler does not have an accessor for it.
llama_sampler* grammar_of(const common_sampler* sampler);

} // namespace xlc
