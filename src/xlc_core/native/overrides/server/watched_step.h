// Computes the batches of a step so that they can be ended (step_watch.h), and measures how long prompts take
// (prompt_pace.h). An ended batch is undone: its requests are as they were before it.
//
// These are templates because server-context.cpp defines the classes later.
#pragma once

#include "overrides/server/prompt_turns.h"
#include "overrides/server/step_watch.h"

#include "llama-ext.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace xlc {

// The loop's knowledge of its steps.
struct Steps {
    StepWatch watch;
    PromptPace pace;
    PromptTurns turns;
    StepPlan plan; // of the current step
};

} // namespace xlc

namespace {

thread_local xlc::Steps* current_steps = nullptr;

// llama.cpp makes a checkpoint of each part that is near a prompt's end, by n_ubatch. With small parts there
// would be many.
bool limit_prompts(int32_t& n_batch, int32_t& n_ubatch, int32_t n_other) {
    const int32_t limit = current_steps ? current_steps->plan.n_prompt_tokens : xlc::PromptPace::no_limit;
    if (limit < n_batch - n_other) {
        n_batch = n_other + limit;
        n_ubatch = std::min(n_ubatch, limit);
    }
    return true;
}

bool has_recurrent_state(const llama_context* context) {
    const llama_model* model = llama_get_model(context);
    return llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
}

// The slots that have tokens in the rest of a batch.
template<typename Batch, typename Slot>
std::vector<Slot*> slots_in(const Batch& batch, int32_t off, std::vector<Slot>& slots) {
    std::vector<Slot*> found;
    for (int32_t i = off; i < batch.size(); i++) {
        Slot* const slot = &slots[static_cast<size_t>(batch.tokens[static_cast<size_t>(i)].id_slot)];
        // One that has failed is idle (decode_apart.h).
        if (slot->is_processing() && std::find(found.begin(), found.end(), slot) == found.end()) {
            found.push_back(slot);
        }
    }
    return found;
}

// Take the tokens of the batch from `off` on back from a slot (step_scope.h).
template<typename Batch, typename Slot> void take_back(const Batch& batch, int32_t off, Slot& slot);

template<typename Batch, typename Slots> void take_back_all(Batch& batch, int32_t off, Slots& slots) {
    for (auto* slot : slots_in(batch, off, slots)) {
        take_back(batch, off, *slot);
    }
    batch.truncate(off);
    batch.view.clear();
}

template<typename Batch> int32_t n_prompt_tokens(const Batch& batch, int32_t off) {
    int32_t n = 0;
    for (int32_t i = off; i < off + batch.view.size(); i++) {
        n += batch.tokens[static_cast<size_t>(i)].is_prompt ? 1 : 0;
    }
    return n;
}

// llama.cpp's decode() sees an ended batch as a batch without tokens.
template<typename Batch, typename Slots>
int32_t process_watched(
    Batch& batch,
    Slots& slots,
    int32_t off,
    llama_context* context,
    llama_process_type type,
    llama_batch_ext* view) {
    using Clock = std::chrono::steady_clock;
    xlc::Steps* const steps = current_steps;
    if (!steps) {
        return process_batch(context, type, view);
    }
    std::vector<int> tasks;
    for (const auto* slot : slots_in(batch, off, slots)) {
        tasks.push_back(slot->task->id);
    }
    // States of several sequences move when they are computed together, so that all would be lost.
    const bool is_recurrent = has_recurrent_state(context);
    if (is_recurrent && tasks.size() > 1) {
        tasks.clear();
    }
    const int32_t n_prompt = n_prompt_tokens(batch, off);
    const bool yields = steps->plan.yields && !is_recurrent && tasks.size() == 1 &&
                        n_prompt == batch.size() - off &&
                        n_prompt <= static_cast<int32_t>(llama_n_ubatch(context));
    steps->watch.set_undo([&batch, &slots, off] { take_back_all(batch, off, slots); }, tasks);

    llama_synchronize(context); // what is measured does not include earlier work
    const Clock::time_point begin = Clock::now();
    const xlc::StepWatch::Computation computation(
        &steps->watch, tasks, yields ? steps->pace.expected_seconds(n_prompt) : 0);
    const int32_t result = process_batch(context, type, view);
    constexpr int32_t aborted = 2;
    if (result == aborted) {
        if (computation.ended_for_newcomer()) {
            steps->pace.record_interruption();
        }
        steps->watch.undo();
        return 0;
    }
    if (result == 0 && n_prompt > 0) {
        llama_synchronize(context);
        const std::chrono::duration<double> taken = Clock::now() - begin;
        steps->pace.record(n_prompt, taken.count(), computation.longest_node(), steps->plan.alone);
    }
    return result;
}

// The draft model reads the batch too.
template<typename Batch> bool process_drafts(common_speculative* spec, const Batch& view) {
    if (view.size() == 0) {
        return true;
    }
    xlc::StepWatch* const watch = xlc::StepWatch::current();
    if (!watch || !watch->can_undo()) {
        return common_speculative_process(spec, view);
    }
    const xlc::StepWatch::Computation computation(watch, watch->tasks_to_undo());
    const bool done = common_speculative_process(spec, view);
    if (!done && computation.ended()) {
        watch->undo();
        return true;
    }
    return done;
}

template<typename Slot> int32_t encode_media(const Slot& slot, mtmd_batch* media) {
    const xlc::StepWatch::Computation computation(xlc::StepWatch::current(), {slot.task->id});
    return mtmd_batch_encode(media);
}

} // namespace
