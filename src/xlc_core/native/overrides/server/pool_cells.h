// How many cells of the KV cache are free. This is part of overrides/server/server-context.cpp, because it
// uses classes that only server-context.cpp defines.
#pragma once

#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <vector>

namespace xlc {

namespace {

struct PoolRoom {
    int32_t n_free = 0;
    int32_t n_idle = 0; // cells that only idle slots hold
};

// Return the cells of a cache that all sequences share, or nullptr for other kinds of memory.
const llama_kv_cells* shared_cells(llama_context* context) {
    llama_memory_t memory = llama_get_memory(context);
    const auto* sliding = dynamic_cast<const llama_kv_cache_iswa*>(memory);
    const auto* cache = sliding ? sliding->get_base() : dynamic_cast<const llama_kv_cache*>(memory);
    return cache && cache->get_n_stream() == 1 ? &cache->get_cells(0) : nullptr;
}

// Cells that several sequences share are counted once.
PoolRoom count_cells(const llama_kv_cells& cells, const std::vector<server_slot>& slots) {
    std::bitset<LLAMA_MAX_SEQ> busy;
    for (const server_slot& slot : slots) {
        busy.set(static_cast<size_t>(slot.id), slot.is_processing());
    }
    PoolRoom room{static_cast<int32_t>(cells.size() - cells.get_used()), 0};
    for (uint32_t i = cells.used_min(); i < cells.used_max_p1(); i++) {
        room.n_idle += !cells.is_empty(i) && (cells.seq_get_all(i) & busy).none() ? 1 : 0;
    }
    return room;
}

// For memory whose cells cannot be counted: as if no sequences shared any.
PoolRoom count_tokens(llama_context* context, const std::vector<server_slot>& slots, int32_t n_paused) {
    PoolRoom room{static_cast<int32_t>(llama_n_ctx(context)) + n_paused, 0};
    for (const server_slot& slot : slots) {
        room.n_free -= slot.prompt.n_tokens();
        room.n_idle += slot.is_processing() ? 0 : slot.prompt.n_tokens();
    }
    return room;
}

} // namespace

} // namespace xlc
