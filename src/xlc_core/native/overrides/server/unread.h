// Tokens of a prompt that a slot has yet to read. This is part of overrides/server/server-context.cpp,
// because it uses names that only server-context.cpp defines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xlc {

namespace {

// Prompt tokens that a slot has yet to read. What it holds of an earlier request is read again if the request
// wants no cache.
template<typename Slot> int32_t n_unread(const Slot& slot) {
    if (slot.state == SLOT_STATE_STARTED) {
        const size_t n_kept =
            slot.task->params.cache_prompt ? slot.prompt.tokens.get_common_prefix(slot.task->tokens) : 0;
        return slot.task->n_tokens() - static_cast<int32_t>(n_kept);
    }
    return slot.state == SLOT_STATE_PROCESSING_PROMPT ? slot.task->n_tokens() - slot.prompt.n_tokens() : 0;
}

} // namespace

} // namespace xlc
