// Decodes a batch of several requests that cannot be decoded at once. llama.cpp ends all of them. Here it is
// decoded in parts, each of one request, so that only the request fails whose part fails; and if the KV
// cache is full, the largest request makes room for the others.
//
// These are templates because server-context.cpp defines the classes later. llama.cpp's decode() calls
// decode_apart() instead of llama_process(). A failed assertion leaves it as an exception (process_batch). A
// return value of 1 makes it halve `n_batch` and call again.
#pragma once

#include "overrides/server/watched_step.h"

#include "llama-ext.h"

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
    drop_drafts(batch, slots);
    if (result == 1 && n_batch > 1) {
        return 1;
    }
    if (result == 1) {
        auto* largest = static_cast<decltype(&slots.front())>(nullptr);
        for (auto& slot : slots) {
            if (slot.is_processing() && (!largest || slot.prompt.n_tokens() > largest->prompt.n_tokens())) {
                largest = &slot;
            }
        }
        fail_slot(
            batch, off, *largest,
            "the KV cache is full: the requests that run together need more than n_ctx_total tokens, and "
            "this is "
            "the largest of them; open the engine with a larger n_ctx_total, or send fewer at once",
            fail);
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
