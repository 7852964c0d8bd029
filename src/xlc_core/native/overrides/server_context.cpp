// llama.cpp's tools/server/server-context.cpp, which tells our drafting of forced tokens
// (overrides/drafting.h) which sampler a sequence has. Compiled into server-context instead of it
// (cmake/llama_cpp.cmake), so that nothing of llama.cpp is changed: the two functions that it calls are
// wrapped where it calls them.

#include "overrides/drafting.h"

#include "sampling.h"
#include "speculative.h"

#include <algorithm>

namespace {

// How much a sequence may draft: all drafts of a step must fit into one batch, or the server gives up.
// Drafted tokens get no log-probabilities, and a context that cannot drop single tokens would have to save
// itself before every draft; neither is worth it.
int32_t forced_limit(bool wants_probabilities, bool can_drop_tokens, int32_t n_batch, int32_t n_sequences) {
    if (wants_probabilities || !can_drop_tokens) {
        return 0;
    }
    return std::min(xlc::max_forced_tokens, n_batch / std::max(n_sequences, 1) - 1);
}

void begin_answer(
    common_speculative* spec,
    llama_seq_id sequence,
    const llama_tokens& prompt,
    const common_sampler* sampler,
    int32_t n_forced,
    bool off) {
    xlc::set_drafting(spec, sequence, {n_forced > 0 ? sampler : nullptr, n_forced, off});
    common_speculative_begin(spec, sequence, prompt);
}

// Logits for forced tokens, whatever else drafts.
common_speculative_output_limits output_limits(int32_t n_batch, int32_t n_parallel, int32_t n_draft) {
    return common_speculative_get_output_limits(
        n_batch, n_parallel, std::max(n_draft, xlc::max_forced_tokens));
}

} // namespace

#define common_speculative_begin(spec, sequence, prompt)                                                     \
    begin_answer(                                                                                            \
        spec, sequence, prompt, slot.smpl.get(),                                                             \
        forced_limit(                                                                                        \
            slot.task->params.sampling.n_probs > 0, ctx_tgt_seq_rm_type == COMMON_CONTEXT_SEQ_RM_TYPE_PART,  \
            static_cast<int32_t>(llama_n_batch(ctx_tgt)), params_base.n_parallel),                           \
        slot.task->params.speculative.types.empty() || slot.task->params.sampling.n_probs > 0)
#define common_speculative_get_output_limits output_limits
#include "server-context.cpp"

#include "overrides/server_slots.h"
