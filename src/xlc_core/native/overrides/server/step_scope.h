// One step of the loop: which prompts it reads, and how a batch is undone. This is part of
// overrides/server/server-context.cpp, because it uses names that only server-context.cpp defines.
//
// llama.cpp fills the batch with the prompts of the first slots. Here prompts take turns (prompt_turns.h),
// others whose whole prompt fits come with the first one, and a step is short enough for the streams beside
// it (prompt_pace.h). update_slots() leaves out slots that wait for another one, so prompts whose turn has
// not come are in that state during a step.
#pragma once

#include "overrides/server/unread.h"
#include "overrides/server/watched_step.h"

namespace {

template<typename Slot> bool reads_prompt(const Slot& slot) {
    return slot.state == SLOT_STATE_STARTED || slot.state == SLOT_STATE_PROCESSING_PROMPT;
}

template<typename Slot> bool can_wait(const Slot& slot) {
    return reads_prompt(slot) && !slot.task->is_child();
}

// llama.cpp reads these at once, or not at all.
template<typename Slot> bool is_indivisible(const Slot& slot) {
    return reads_prompt(slot) && (!slot.can_split() || slot.task->type == SERVER_TASK_TYPE_DECISION);
}

// While it lives, the prompts whose turn has not come wait.
template<typename Slot> class Turn {
public:
    Turn(std::vector<Slot>& slots, xlc::PromptTurns& turns, const xlc::PromptPace& pace) {
        Slot* stream = nullptr;
        int32_t n_working = 0;
        for (Slot& slot : slots) {
            if (is_indivisible(slot)) {
                return;
            }
            n_working += slot.is_processing() && !slot.task->is_child() ? 1 : 0;
            stream = !stream && slot.state == SLOT_STATE_GENERATING ? &slot : stream;
        }
        plan_.alone = n_working == 1;
        plan_.yields = !stream && slots.size() > 1;
        plan_.n_prompt_tokens = plan_.alone ? pace.alone_limit()
                                : stream    ? pace.shared_limit()
                                            : pace.turn_limit();
        if (!plan_.alone) {
            hide(slots, turns, stream);
        }
    }
    ~Turn() {
        for (const auto& [slot, state] : hidden_) {
            if (slot->state == SLOT_STATE_WAIT_OTHER) {
                slot->state = state;
            }
        }
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    const xlc::StepPlan& plan() const { return plan_; }

private:
    void hide(std::vector<Slot>& slots, xlc::PromptTurns& turns, Slot* stream) {
        std::map<int, Slot*> waiting;
        std::vector<int> tasks;
        for (Slot& slot : slots) {
            // A prompt with other adapters than the streams' cannot be read now.
            if (can_wait(slot) && (!stream || stream->can_batch_with(slot))) {
                waiting[slot.task->id] = &slot;
                tasks.push_back(slot.task->id);
            }
        }
        int32_t n_left = plan_.n_prompt_tokens;
        bool is_first = true;
        for (const int task : turns.in_order(tasks)) {
            Slot& slot = *waiting[task];
            const int32_t n = xlc::n_unread(slot);
            if (is_first || n <= n_left) {
                n_left -= std::min(n, n_left);
                turns.record(task);
            } else {
                hidden_.emplace_back(&slot, slot.state);
                slot.state = SLOT_STATE_WAIT_OTHER;
            }
            is_first = false;
        }
    }

    xlc::StepPlan plan_;
    std::vector<std::pair<Slot*, decltype(Slot::state)>> hidden_;
};

// One step of the loop.
template<typename Slot> class StepScope {
public:
    StepScope(xlc::Steps& steps, std::vector<Slot>& slots)
        : step_(steps.watch), turn_(slots, steps.turns, steps.pace) {
        steps.plan = turn_.plan();
        current_steps = &steps;
    }
    ~StepScope() { current_steps = nullptr; }
    StepScope(const StepScope&) = delete;
    StepScope& operator=(const StepScope&) = delete;

private:
    const xlc::StepWatch::Step step_;
    const Turn<Slot> turn_;
};

// Take the tokens of the batch from `off` on back from a slot. A state that cannot be cut is dropped.
template<typename Batch, typename Slot> void take_back(const Batch& batch, int32_t off, Slot& slot) {
    size_t n = 0;
    bool has_media = false;
    for (int32_t i = off; i < batch.size(); i++) {
        const auto& token = batch.tokens[static_cast<size_t>(i)];
        n += token.id_slot == slot.id ? 1 : 0;
        has_media = has_media || (token.id_slot == slot.id && token.i_embd >= 0);
    }
    slot.i_batch = -1;
    slot.spec_i_batch.clear();
    slot.spec_draft.clear();
    slot.spec_is_replay = false;
    if (slot.state == SLOT_STATE_DONE_PROMPT) {
        slot.state = SLOT_STATE_PROCESSING_PROMPT;
    }
    if (has_media || has_recurrent_state(slot.ctx_tgt)) {
        slot.prompt_clear();
        return;
    }
    slot.prompt.tokens.keep_first(slot.prompt.tokens.size() - n);
    slot.mem.seq_rm(slot.id, slot.prompt.tokens.pos_next(), -1);
}

} // namespace
