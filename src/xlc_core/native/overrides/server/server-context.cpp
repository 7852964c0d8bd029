// llama.cpp's tools/server/server-context.cpp, which reports each sequence's sampler to our drafting of
// forced tokens (overrides/access/drafting.h), and gives access to its reader of media
// (overrides/access/media_access.h): the functions that it calls are wrapped where it calls them. If a batch
// cannot be decoded, the request to blame fails alone (overrides/server/decode_apart.h). Answers end at every
// stop sequence, and lose no text (overrides/server/answer_text.h). The template of a decision model has a
// budget. Prompts take turns, and steps can be ended (overrides/server/prompt_turns.h, step_scope.h).

#include "overrides/access/drafting.h"
#include "overrides/access/media_access.h"
#include "overrides/common/jinja/within_budget.h"
#include "overrides/server/step_watch.h"
#include "support/abort_guard.h"

#include "mtmd-helper.h"
#include "sampling.h"
#include "server-common.h"
#include "server-decision.h"
#include "speculative.h"

#include <algorithm>

namespace {

// A decision model's template runs when the model is opened, to find out what it can do.
struct LimitedDecision : server_decision_context {
    void init(const llama_model* model) {
        xlc::within_budget(
            0,
            [&] {
                server_decision_context::init(model);
                return true;
            },
            "the decision model's template", "use another model");
    }
};

// Return how many tokens a sequence may draft. All drafts of a step must fit into one batch, or the server
// fails. Requests for log-probabilities do not draft, because drafted tokens do not get any. Contexts that
// cannot drop single tokens do not draft either, because they would have to be saved before every draft.
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

// Reserve logits for forced tokens, in addition to other drafts.
common_speculative_output_limits output_limits(int32_t n_batch, int32_t n_parallel, int32_t n_draft) {
    return common_speculative_get_output_limits(
        n_batch, n_parallel, std::max(n_draft, xlc::max_forced_tokens));
}

// If an assertion fails while a batch is computed, llama_process returns the same as for other failures. The
// server's errors carry the text of an exception.
int32_t process_batch(llama_context* context, llama_process_type type, llama_batch_ext* batch) {
    int32_t status = 0;
    std::string failed;
    {
        const xlc::AssertionWatch watch;
        status = llama_process(context, type, batch);
        failed = watch.message();
    }
    if (!failed.empty()) {
        xlc::AssertionWatch::report(failed); // to the watch of the loop (server_slots.h)
        throw xlc::AssertionFailed(failed);
    }
    return status;
}

// The server sets a slot's LoRA adapters only for its batches of text, but decodes images before them.
template<typename Slot, typename... Arguments>
int32_t decode_image_chunk(const Slot& slot, Arguments... arguments) {
    auto adapters = slot.lora;
    common_set_adapter_lora(slot.ctx_tgt, adapters);
    const xlc::StepWatch::Computation computation(xlc::StepWatch::current(), {slot.task->id});
    return mtmd_helper_decode_image_chunk(arguments...);
}

// Return how many of the tokens that a slot shares with a prompt cannot be kept. Between two consecutive
// images or sounds server_tokens::keep_first() throws, as if it were inside one; then the first one is read
// again.
size_t unkeepable(const server_tokens& tokens, const server_tokens& prompt) {
    const size_t n_common = tokens.get_common_prefix(prompt);
    size_t n = n_common;
    while (n > 0 && n < tokens.size() && tokens[n - 1] == LLAMA_TOKEN_NULL && tokens[n] == LLAMA_TOKEN_NULL) {
        size_t start = 0;
        for (size_t i = tokens.find_next_media_chunk(0).second; i > start && i < n;
             i = tokens.find_next_media_chunk(i).second) {
            start = i;
        }
        n = start;
    }
    return n_common - n;
}

} // namespace

#include "overrides/server/answer_text.h"
#include "overrides/server/decode_apart.h"

// A difference after the call, which is the whole value of its statement (cmake/expectations.cmake).
#define get_common_prefix(other) get_common_prefix(other) - unkeepable((slot.prompt.tokens), (other))
#define common_speculative_begin(spec, sequence, prompt)                                                     \
    begin_answer(                                                                                            \
        (spec), (sequence), (prompt), slot.smpl.get(),                                                       \
        forced_limit(                                                                                        \
            slot.task->params.sampling.n_probs > 0, ctx_tgt_seq_rm_type == COMMON_CONTEXT_SEQ_RM_TYPE_PART,  \
            static_cast<int32_t>(llama_n_batch(ctx_tgt)), params_base.n_parallel),                           \
        slot.task->params.speculative.types.empty() || slot.task->params.sampling.n_probs > 0)
#define common_speculative_get_output_limits output_limits
#define mtmd_helper_decode_image_chunk(...) decode_image_chunk(slot, __VA_ARGS__)
#define llama_process(context, type, view)                                                                   \
    decode_apart(                                                                                            \
        batch, slots, n_batch, off, (context), (type), (view),                                               \
        [this](server_slot& slot, const std::string& error) {                                                \
            send_error(slot, error);                                                                         \
            slot.release();                                                                                  \
            slot.prompt_clear();                                                                             \
        })
#define validate_utf8(text)                                                                                  \
    shown_text(                                                                                              \
        slot, result, token_str, !params_base.ctx_shift && slot.prompt.n_tokens() + 1 >= slot.n_ctx,         \
        llama_vocab_is_eog(vocab, result.tok),                                                               \
        [&](const completion_token_output& silent) { send_partial_response(slot, silent, false); })
#define string_find_partial_stop find_partial_stop
// The condition under which prompts are read, where the sizes of the batch are local variables.
#define cont_batching cont_batching&& limit_prompts(n_batch, n_ubatch, batch.size())
#define common_speculative_process process_drafts
#define mtmd_batch_encode(media) encode_media(slot, (media))
// The tokens of a stop sequence, which are counted to drop as many probabilities. They may be others than
// those of the answer; ChoiceStream compares the texts.
#define common_tokenize(...) llama_tokens()
#define server_decision_context LimitedDecision
#include "tools/server/server-context.cpp"
#undef server_decision_context
#undef get_common_prefix
#undef llama_process
#undef validate_utf8
#undef string_find_partial_stop
#undef common_tokenize
#undef cont_batching
#undef common_speculative_process
#undef mtmd_batch_encode

#include "overrides/server/server_slots.h"

xlc::MediaAccess xlc::media_access(const server_context& context) {
    return {context.impl->mctx, &context.impl->init_opt};
}
