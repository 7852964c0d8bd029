// A prompt that begins like the tokens of another slot takes their cells of the pool: nothing is computed or
// stored again. This is part of overrides/server/server-context.cpp, because it uses classes that only
// server-context.cpp defines.
#pragma once

#include "overrides/server/pool_cells.h"
#include "overrides/server/task_running.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace xlc {

namespace {

// A slot whose cells a request may share, and how many.
struct Donor {
    server_slot* slot = nullptr;
    size_t n_tokens = 0;
};

// Whether cells can be shared at all. Images lie between the tokens of their prompts.
bool can_share(server_context_impl& server) {
    llama_context* draft = server.*open(ctx_dft_tag());
    return shared_cells(server.*open(ctx_tgt_tag())) && (!draft || shared_cells(draft)) && !server.mctx;
}

// Whether the slot's tokens were computed with the adapters that the task asks for.
bool has_adapters_of(server_context_impl& server, const server_slot& slot, const server_task& task) {
    std::vector<common_adapter_lora_info> wanted = (server.*open(params_base_tag())).lora_adapters;
    for (size_t i = 0; i < wanted.size() && !task.params.lora.empty(); i++) {
        const auto found = task.params.lora.find(static_cast<int>(i));
        wanted[i].scale = found == task.params.lora.end() ? 0.0F : found->second;
    }
    return are_lora_equal(wanted, slot.lora);
}

bool wants_sharing(const server_task& task) {
    return task.type == SERVER_TASK_TYPE_COMPLETION && task.params.cache_prompt;
}

// Tokens of a slot's prompt that its cells hold, or will hold soon.
size_t n_shareable(server_context_impl& server, const server_slot& slot, const server_task& task, bool soon) {
    if (slot.state == SLOT_STATE_WAIT_OTHER || !has_adapters_of(server, slot, task)) {
        return 0;
    }
    const bool reads = slot.state == SLOT_STATE_STARTED || slot.state == SLOT_STATE_PROCESSING_PROMPT;
    if (soon) {
        return reads ? slot.task->tokens.get_common_prefix(task.tokens) : 0;
    }
    return slot.state == SLOT_STATE_STARTED ? 0 : slot.prompt.tokens.get_common_prefix(task.tokens);
}

Donor find_donor(server_context_impl& server, const server_task& task, bool soon) {
    Donor best;
    for (server_slot& slot : server.*open(slots_tag())) {
        const size_t n = n_shareable(server, slot, task, soon);
        if (n > best.n_tokens) {
            best = {&slot, n};
        }
    }
    return best;
}

// Whether another request reads a prompt that begins like this one: it pays to wait for it.
bool awaits_prefix(server_context_impl& server, const server_task& task) {
    if (!wants_sharing(task) || !can_share(server)) {
        return false;
    }
    return find_donor(server, task, true).n_tokens >=
           find_donor(server, task, false).n_tokens + worth_copying;
}

// The idle slot that the request gets: an empty one, or the one that was used the longest time ago.
server_slot* find_receiver(std::vector<server_slot>& slots, const server_slot* donor) {
    server_slot* best = nullptr;
    const auto rank = [](const server_slot& slot) {
        return std::make_pair(!slot.prompt.tokens.empty(), slot.t_last_used);
    };
    for (server_slot& slot : slots) {
        if (!slot.is_processing() && &slot != donor && (!best || rank(slot) < rank(*best))) {
            best = &slot;
        }
    }
    return best;
}

// Tokens of the task's prompt whose cells a running request holds already.
size_t n_held_by_others(server_context_impl& server, const server_task& task) {
    if (!wants_sharing(task) || !can_share(server)) {
        return 0;
    }
    const Donor donor = find_donor(server, task, false);
    return donor.slot && donor.slot->is_processing() ? donor.n_tokens : 0;
}

// Let an idle slot share the cells of the slot that begins like the task, and send the task there. Returns
// how many tokens are shared. A window has lost the cells behind it, so there the whole conversation is
// shared.
size_t share_cells(server_context_impl& server, server_task& task) {
    if (!wants_sharing(task) || task.id_slot != -1 || !can_share(server)) {
        return 0;
    }
    const Donor donor = find_donor(server, task, false);
    if (!donor.slot || donor.n_tokens < worth_copying) {
        return 0;
    }
    const auto n_held = static_cast<size_t>(donor.slot->prompt.n_tokens());
    const bool keeps_most = 2 * donor.n_tokens >= n_held;
    if (!donor.slot->is_processing() && keeps_most) {
        return 0; // llama.cpp takes this slot
    }
    const bool has_window = llama_model_n_swa(llama_get_model(donor.slot->ctx_tgt)) > 0;
    const float threshold = (server.*open(params_base_tag())).slot_prompt_similarity;
    server_slot* receiver = find_receiver(server.*open(slots_tag()), donor.slot);
    if (!receiver || (has_window && !keeps_most) ||
        static_cast<float>(donor.n_tokens) <= threshold * static_cast<float>(task.tokens.size())) {
        return 0; // llama.cpp would not take the slot for this prompt
    }
    save_to_cache(server, *receiver);
    donor.slot->copy_prompt_to(*receiver);
    receiver->lora = donor.slot->lora;
    if (!has_window) {
        receiver->mem.seq_rm(receiver->id, static_cast<llama_pos>(donor.n_tokens), -1);
        receiver->prompt.tokens.keep_first(donor.n_tokens);
    }
    task.id_slot = receiver->id;
    return donor.n_tokens;
}

} // namespace

} // namespace xlc
