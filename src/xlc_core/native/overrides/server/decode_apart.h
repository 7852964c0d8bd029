// Decodes a batch of several requests that cannot be decoded at once. llama.cpp ends all of them. Here it is
// decoded in parts, each of one request, so that only the request fails whose part fails. If the KV cache is
// full, the step is taken back, and the youngest request makes room for the others (pool.h).
//
// These are templates because server-context.cpp defines the classes later. llama.cpp's decode() calls
// decode_apart() instead of llama_process(). A failed assertion leaves it as an exception (process_batch). A
// return value of 1 makes it halve `n_batch` and call again.
#pragma once

#include "overrides/server/watched_step.h"

#include "llama-ext.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <string>

namespace {

// Marks a token that must not be decoded any more. Text has one position only, and media are not decoded
// again, so nothing else uses this value.
constexpr int dropped = INT_MIN;

template<typename Batch> bool is_dropped(const Batch& batch, int32_t i) {
    return batch.tokens[static_cast<size_t>(i)].pos.back() == dropped;
}

template<typename Batch> void drop(Batch& batch, int32_t i) {
    batch.tokens[static_cast<size_t>(i)].pos.back() = dropped;
}

// Verifying a draft needs a batch that is decoded at once.
template<typename Batch, typename Slots> void drop_drafts(Batch& batch, Slots& slots) {
    for (auto& slot : slots) {
        if (slot.spec_i_batch.empty()) {
            continue;
        }
        slot.i_batch = slot.spec_i_batch.front();
        for (size_t i = 1; i < slot.spec_i_batch.size(); i++) {
            drop(batch, slot.spec_i_batch[i]);
        }
        slot.prompt.tokens.keep_first(slot.prompt.n_tokens() - slot.spec_draft.size());
        slot.spec_i_batch.clear();
        slot.spec_draft.clear();
        slot.spec_is_replay = false;
    }
}

// Whether the last step of this thread's loop did not fit into the KV cache, so that nothing of it was done.
thread_local bool step_was_taken_back = false;

// Whether the slot's request takes part in steps; those that pause or wait for another answer's prompt do
// not.
template<typename Slot> bool is_running(const Slot& slot) {
    return slot.is_processing() && slot.state != decltype(slot.state)::SLOT_STATE_WAIT_OTHER;
}

// Whether others can pause if a step does not fit (pool.h). Prompts whose turn has not come look as if they
// did not run during the step.
thread_local bool others_can_pause = false;

// Return whether a step that does not fit can be repeated with fewer requests.
template<typename Slots> bool can_make_room(const Slots& slots) {
    return others_can_pause && std::none_of(slots.begin(), slots.end(), [](const auto& slot) {
               return !slot.is_processing() &&
                      slot.prompt.n_tokens() > 0; // llama.cpp clears it and tries again
           });
}

// Undo what the step has noted of the tokens from `off` on, none of which was decoded.
template<typename Batch, typename Slots> void repeat_later(Batch& batch, Slots& slots, int32_t off) {
    drop_drafts(batch, slots);
    for (auto& slot : slots) {
        int32_t n = 0;
        for (int32_t i = off; i < batch.size(); i++) {
            n += batch.tokens[static_cast<size_t>(i)].id_slot == slot.id && !is_dropped(batch, i) ? 1 : 0;
        }
        if (n == 0) {
            continue;
        }
        slot.prompt.tokens.keep_first(static_cast<size_t>(slot.prompt.n_tokens() - n));
        slot.i_batch = -1;
        using State = decltype(slot.state);
        if (slot.state == State::SLOT_STATE_DONE_PROMPT) {
            slot.state = State::SLOT_STATE_PROCESSING_PROMPT;
        }
    }
    batch.truncate(off);
    batch.view.clear();
    step_was_taken_back = true;
}

template<typename Batch, typename Slot, typename Fail>
void fail_slot(Batch& batch, int32_t off, Slot& slot, const std::string& reason, const Fail& fail) {
    for (int32_t i = off; i < batch.size(); i++) {
        if (batch.tokens[static_cast<size_t>(i)].id_slot == slot.id) {
            drop(batch, i);
        }
    }
    fail(slot, reason);
}

template<typename Batch, typename Slots, typename Fail>
int32_t decode_apart(
    Batch& batch,
    Slots& slots,
    int32_t& n_batch,
    int32_t off,
    llama_context* context,
    llama_process_type type,
    llama_batch_ext* view,
    const Fail& fail) {
    const int32_t n = batch.view.size();
    const auto again_with = [&n_batch](int32_t n_tokens) {
        n_batch = 2 * n_tokens;
        return 1;
    };
    const bool skips = is_dropped(batch, off);
    int32_t n_alike = 1;
    while (n_alike < n && is_dropped(batch, off + n_alike) == skips) {
        n_alike++;
    }
    if (n_alike < n) {
        return again_with(n_alike);
    }
    if (skips) {
        return 0;
    }
    const int32_t result = process_watched(batch, slots, off, context, type, view);
    if (result == 0) {
        return 0;
    }
    if (result == 1 && can_make_room(slots)) {
        repeat_later(batch, slots, off);
        return 0;
    }
    drop_drafts(batch, slots);
    if (result == 1 && n_batch > 1) {
        return 1;
    }
    if (result == 1) {
        for (auto& slot : slots) {
            if (is_running(slot)) {
                fail_slot(
                    batch, off, slot,
                    "the KV cache is full; open the engine with a larger n_ctx_total, or a smaller n_ctx",
                    fail);
            }
        }
        return again_with(1);
    }
    const int32_t id = batch.tokens[static_cast<size_t>(off)].id_slot;
    int32_t n_first = 1;
    while (n_first < n && batch.tokens[static_cast<size_t>(off + n_first)].id_slot == id) {
        n_first++;
    }
    if (n_first < n) {
        return again_with(n_first);
    }
    for (auto& slot : slots) {
        if (slot.id == id && slot.is_processing()) {
            fail_slot(
                batch, off, slot,
                result == -1 ? "llama.cpp refused the tokens of this request" : "computing failed", fail);
        }
    }
    return 0;
}

} // namespace
