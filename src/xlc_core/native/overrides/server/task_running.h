// How the loop runs a task of llama.cpp's. This is part of overrides/server/server-context.cpp, because it
// uses classes that only server-context.cpp defines. Explicit instantiations give access to private members.
#pragma once

#include "overrides/server/step_watch.h"
#include "support/abort_guard.h"

#include <memory>
#include <utility>
#include <vector>

namespace xlc {

namespace {

// Explicit instantiations may name private members ([temp.spec]); the friend returns the pointer.
template<typename Tag, typename Tag::type member> struct Opened {
    friend typename Tag::type open(Tag) { return member; }
};
#define XLC_OPEN(name, ...)                                                                                  \
    struct name##_tag {                                                                                      \
        using type = __VA_ARGS__;                                                                            \
        friend type open(name##_tag);                                                                        \
    };                                                                                                       \
    template struct Opened<name##_tag, &server_context_impl::name>;
XLC_OPEN(slots, std::vector<server_slot> server_context_impl::*)
XLC_OPEN(ctx_tgt, llama_context* server_context_impl::*)
XLC_OPEN(ctx_dft, llama_context* server_context_impl::*)
XLC_OPEN(spec, common_speculative_ptr server_context_impl::*)
XLC_OPEN(prompt_cache, std::unique_ptr<server_prompt_cache> server_context_impl::*)
XLC_OPEN(params_base, common_params server_context_impl::*)
XLC_OPEN(process_single_task, bool (server_context_impl::*)(server_task&&, bool))
XLC_OPEN(update_slots, void (server_context_impl::*)())
#undef XLC_OPEN

// llama.cpp searches the start of a prompt in the slot that it chooses and in its prompt cache, but not in
// busy slots. So the conversation of a busy slot is copied to the cache if that saves a request this many
// tokens.
constexpr size_t worth_copying = 64;

// Copy a slot's conversation to the prompt cache, if there is one.
void save_to_cache(server_context_impl& server, server_slot& slot) {
    if (const auto& cache = server.*open(prompt_cache_tag())) {
        slot.prompt_save(*cache);
        cache->update();
    }
}

void share_busy_prefix(server_context_impl& server, const server_task& task) {
    const auto& cache = server.*open(prompt_cache_tag());
    const common_params& params = server.*open(params_base_tag());
    // The cache does not know which adapters computed an entry.
    if (!cache || task.type != SERVER_TASK_TYPE_COMPLETION || !task.params.cache_prompt ||
        task.tokens.empty() || !params.lora_adapters.empty()) {
        return;
    }
    const server_slot* idle = nullptr;
    const server_slot* busy = nullptr;
    size_t n_idle = 0;
    size_t n_busy = 0;
    for (const server_slot& slot : server.*open(slots_tag())) {
        if (slot.state == SLOT_STATE_WAIT_OTHER) {
            continue; // it has no cells
        }
        const size_t n = slot.prompt.tokens.get_common_prefix(task.tokens);
        const server_slot*& best = slot.is_processing() ? busy : idle;
        size_t& n_best = slot.is_processing() ? n_busy : n_idle;
        if (!best || n > n_best) {
            best = &slot;
            n_best = n;
        }
    }
    if (!idle || !busy) {
        return;
    }
    // Like get_available_slot: a slot that it prefers does not get anything from the cache.
    const bool prefers_idle =
        static_cast<float>(n_idle) > params.slot_prompt_similarity * static_cast<float>(task.tokens.size()) &&
        2 * n_idle >= idle->prompt.tokens.size();
    size_t n_known = n_idle;
    for (const server_prompt_cache_state& entry : cache->states) {
        n_known = std::max(n_known, entry.prompt.tokens.get_common_prefix(task.tokens));
    }
    if (!prefers_idle && n_busy >= n_known + worth_copying) {
        busy->prompt_save(*cache);
        cache->update();
    }
}

// A running step learns of a task that waits for its end.
void notice(StepWatch& watch, const server_task& task) {
    switch (task.type) {
    case SERVER_TASK_TYPE_CANCEL:
        watch.give_up(task.id_target);
        break;
    case SERVER_TASK_TYPE_COMPLETION:
    case SERVER_TASK_TYPE_EMBEDDING:
    case SERVER_TASK_TYPE_DECISION:
        watch.greet_newcomer();
        break;
    default:
        break;
    }
}

// llama.cpp's loop would end with an exception of a task, and every request with it.
bool process_task(server_context_impl& server, server_task&& task, bool is_yielding) {
    const int id = task.id;
    try {
        return (server.*open(process_single_task_tag()))(std::move(task), is_yielding);
    } catch (const AssertionFailed&) {
        throw;
    } catch (const std::exception& error) {
        for (server_slot& slot : server.*open(slots_tag())) {
            if (slot.task && slot.task->id == id) {
                slot.release();
            }
        }
        auto result = std::make_unique<server_task_result_error>();
        result->id = id;
        result->err_msg = error.what();
        server.queue_results.send(std::move(result));
        return true;
    }
}

} // namespace

} // namespace xlc
