// A request that writes, and has lost its cells of the KV cache for a while. Its slot keeps everything else:
// the sampler, the grammar, the text and what was sent of it. This is part of
// overrides/server/server-context.cpp, because it uses classes that only server-context.cpp defines.
#pragma once

#include "overrides/server/task_running.h"

#include <cstdint>
#include <new>
#include <vector>

namespace xlc {

namespace {

struct PausedSlot {
    server_slot* slot = nullptr;
    slot_state state = SLOT_STATE_GENERATING; // to which it returns
    int64_t since = 0;
    bool is_saved = false;
    std::vector<uint8_t> data; // of the KV cache
    std::vector<uint8_t> draft_data;
    std::vector<uint8_t> drafting; // of the source of drafts
    int32_t n_computed = 0;        // tokens that are in the cache again

    bool is_whole() const { return n_computed == slot->prompt.n_tokens(); }

    size_t size() const { return data.size() + draft_data.size() + drafting.size(); }
};

size_t state_size(llama_context* context, llama_seq_id sequence) {
    return context ? llama_state_seq_get_size_ext(context, sequence, LLAMA_STATE_SEQ_FLAGS_NONE) : 0;
}

bool read_state(llama_context* context, llama_seq_id sequence, std::vector<uint8_t>& bytes, size_t size) {
    bytes.resize(size);
    return size == 0 || llama_state_seq_get_data_ext(
                            context, bytes.data(), size, sequence, LLAMA_STATE_SEQ_FLAGS_NONE) == size;
}

bool write_state(llama_context* context, llama_seq_id sequence, const std::vector<uint8_t>& bytes) {
    return bytes.empty() ||
           llama_state_seq_set_data_ext(
               context, bytes.data(), bytes.size(), sequence, LLAMA_STATE_SEQ_FLAGS_NONE) == bytes.size();
}

// Whether the text would change if its tokens were computed again: images are not at hand, and a shifted
// context or an adapter that begins inside a prompt has seen other tokens.
bool needs_saving(const server_slot& slot) {
    if (slot.truncated || lora_all_alora(slot.lora)) {
        return true;
    }
    const auto& tokens = slot.prompt.tokens;
    for (size_t i = 0; i < tokens.size(); i++) {
        if (tokens[i] == LLAMA_TOKEN_NULL) {
            return true;
        }
    }
    return false;
}

// Make room for the state of a paused request in the memory of lost prompts, whose oldest prompts go.
// `n_used` are the bytes of other paused requests.
bool reserve_bytes(server_prompt_cache* cache, const common_params& params, size_t n_bytes, size_t n_used) {
    if (!cache || params.cache_ram_mib < 0) {
        return cache != nullptr;
    }
    const size_t limit = static_cast<size_t>(params.cache_ram_mib) * 1024 * 1024;
    if (n_bytes + n_used > limit) {
        return false;
    }
    while (!cache->states.empty() && cache->size() + n_bytes + n_used > limit) {
        cache->states.pop_front();
    }
    return true;
}

// Take the slot's cells. Between two steps only.
PausedSlot pause_slot(server_context_impl& server, server_slot& slot, size_t n_used) {
    PausedSlot paused;
    paused.slot = &slot;
    paused.state = slot.state;
    paused.since = ggml_time_us();
    if (slot.state != SLOT_STATE_STARTED) { // then its cells are those of an earlier request
        const size_t size = state_size(slot.ctx_tgt, slot.id);
        const size_t draft_size = state_size(slot.ctx_dft, slot.id);
        const auto& cache = server.*open(prompt_cache_tag());
        const common_params& params = server.*open(params_base_tag());
        try {
            paused.is_saved =
                (reserve_bytes(cache.get(), params, size + draft_size, n_used) || needs_saving(slot)) &&
                read_state(slot.ctx_tgt, slot.id, paused.data, size) &&
                read_state(slot.ctx_dft, slot.id, paused.draft_data, draft_size);
        } catch (const std::bad_alloc&) {
            paused.is_saved = false;
        }
        if (paused.is_saved) {
            common_speculative_get_state((server.*open(spec_tag())).get(), slot.id, paused.drafting);
        } else {
            paused.data = {};
            paused.draft_data = {};
        }
    }
    if (slot.state == SLOT_STATE_GENERATING || paused.is_saved) {
        slot.mem.seq_rm(slot.id, -1, -1);
    } else {
        slot.prompt_clear(); // its prompt is read again
    }
    slot.state = SLOT_STATE_WAIT_OTHER; // llama.cpp's loop leaves such a slot alone
    return paused;
}

// Write the saved state into the cache. Returns false if it does not fit.
bool restore_cells(server_context_impl& server, PausedSlot& paused) {
    server_slot& slot = *paused.slot;
    if (!write_state(slot.ctx_tgt, slot.id, paused.data) ||
        !write_state(slot.ctx_dft, slot.id, paused.draft_data)) {
        return false;
    }
    if (!paused.drafting.empty()) {
        common_speculative_set_state((server.*open(spec_tag())).get(), slot.id, paused.drafting);
    }
    paused.n_computed = slot.prompt.n_tokens();
    return true;
}

// Compute the next tokens of a state that was not saved. Returns llama_process's result.
int32_t compute_again(server_context_impl& server, PausedSlot& paused) {
    server_slot& slot = *paused.slot;
    common_batch batch(slot.ctx_tgt);
    const int32_t n_batch = static_cast<int32_t>(llama_n_batch(slot.ctx_tgt));
    const int32_t end = std::min(slot.prompt.n_tokens(), paused.n_computed + n_batch);
    for (int32_t i = paused.n_computed; i < end; i++) {
        batch.add(slot.prompt.tokens[static_cast<size_t>(i)], i, slot.id, false);
    }
    common_set_adapter_lora(slot.ctx_tgt, slot.lora);
    llama_set_embeddings(slot.ctx_tgt, false);
    int32_t result = 0;
    server.queue_tasks.yield_to_queue([&] {
        result = process_batch(slot.ctx_tgt, LLAMA_PROCESS_TYPE_DECODE, batch.get());
        if (result == 0 && !common_speculative_process((server.*open(spec_tag())).get(), batch)) {
            result = -1;
        }
    });
    if (result == 0) {
        paused.n_computed = end;
    }
    return result;
}

// Let the slot go on. The time of the pause does not count as time of writing.
void go_on(const PausedSlot& paused) {
    server_slot& slot = *paused.slot;
    const int64_t n_us = ggml_time_us() - paused.since;
    server_slot_stats& stats = slot.stats;
    for (int64_t* time : {&stats.t_start, &stats.t_prompt_last, &stats.t_gen_last, &slot.t_print_last}) {
        *time += *time > 0 ? n_us : 0;
    }
    slot.state = paused.state;
}

} // namespace

} // namespace xlc
