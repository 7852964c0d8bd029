// One pool of context: the requests share the cells of the KV cache. They start in order of arrival, each
// when its prompt fits beside what the others still have to read, with room to write. If the cells run out
// while requests write, the youngest one pauses (paused_slot.h) and goes on later; none fails because others
// grew. This is part of overrides/server/server-context.cpp, because it uses classes that only
// server-context.cpp defines.
#pragma once

#include "overrides/access/slots.h"
#include "overrides/server/paused_slot.h"
#include "overrides/server/pool_cells.h"
#include "overrides/server/pool_sharing.h"
#include "overrides/server/task_running.h"
#include "overrides/server/unread.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace xlc {

namespace {

// Used on the loop's thread only, but for the counters.
class Pool {
public:
    Pool(server_context_impl& server, std::shared_ptr<PoolCounters> counters)
        : server_(server), counters_(std::move(counters)) {}

    // Take a task out of llama.cpp's queue. Requests start in plan().
    bool take(server_task&& task, bool is_yielding) {
        if (is_yielding) {
            return process_task(server_, std::move(task), is_yielding);
        }
        if (is_request(task)) {
            const int id = task.id;
            waiting_.emplace(id, std::move(task));
            return true;
        }
        if (task.type == SERVER_TASK_TYPE_CANCEL && waiting_.erase(task.id_target) > 0) {
            return true;
        }
        process_task(server_, std::move(task), is_yielding);
        forget_ended();
        return true;
    }

    // Paused requests may have been cancelled: their slots hold tokens without cells.
    void forget_ended() {
        for (auto entry = paused_.begin(); entry != paused_.end();) {
            server_slot& slot = *entry->second.slot;
            if (slot.is_processing()) {
                ++entry;
                continue;
            }
            slot.prompt_clear();
            entry = paused_.erase(entry);
        }
        count_paused();
    }

    // Before a step: see that it fits, and start what may start.
    void plan() {
        forget_ended();
        if (step_was_taken_back) {
            step_was_taken_back = false;
            if (pause_youngest()) {
                crowded_ = running_ids();
            }
        }
        while (shares_cells() && room().n_free < n_step_cells() &&
               (give_up_idle(nullptr) || pause_youngest())) {
        }
        while (start_next()) {
        }
        others_can_pause = shares_cells() && running_ids().size() > 1;
    }

private:
    // Cells that a request needs for its next tokens before it starts or goes on. More would start fewer
    // requests; with less, the youngest would pause again at once.
    static constexpr int32_t n_writing = 64;

    static bool is_request(const server_task& task) {
        return task.type == SERVER_TASK_TYPE_COMPLETION || task.type == SERVER_TASK_TYPE_INFILL ||
               task.type == SERVER_TASK_TYPE_EMBEDDING || task.type == SERVER_TASK_TYPE_RERANK ||
               task.type == SERVER_TASK_TYPE_DECISION;
    }

    std::vector<server_slot>& slots() { return server_.*open(slots_tag()); }
    const common_params& params() { return server_.*open(params_base_tag()); }
    llama_context* context() { return server_.*open(ctx_tgt_tag()); }

    bool shares_cells() { return params().kv_unified && llama_get_memory(context()); }

    PoolRoom room(bool count_idle = false) {
        PoolRoom least{INT32_MAX, INT32_MAX};
        for (llama_context* one : {context(), server_.*open(ctx_dft_tag())}) {
            if (!one) {
                continue;
            }
            const llama_kv_cells* cells = shared_cells(one);
            const PoolRoom found = !cells ? count_tokens(one, slots(), n_missing())
                                   : count_idle
                                       ? count_cells(*cells, slots())
                                       : PoolRoom{static_cast<int32_t>(cells->size() - cells->get_used()), 0};
            least = {std::min(least.n_free, found.n_free), std::min(least.n_idle, found.n_idle)};
        }
        return least;
    }

    // Tokens of paused requests that have no cells.
    int32_t n_missing() const {
        int32_t n = 0;
        for (const auto& [id, paused] : paused_) {
            n += paused.slot->prompt.n_tokens() - paused.n_computed;
        }
        return n;
    }

    std::set<int> running_ids() {
        std::set<int> ids;
        for (const server_slot& slot : slots()) {
            if (is_running(slot)) {
                ids.insert(slot.task->id);
            }
        }
        return ids;
    }

    int32_t max_draft(const server_slot& slot) {
        const auto& types = params().speculative.types;
        const bool drafts = std::any_of(types.begin(), types.end(), [](common_speculative_type type) {
            return type != COMMON_SPECULATIVE_TYPE_NONE;
        });
        if (!drafts && slot.task->params.sampling.grammar.empty()) {
            return 0;
        }
        const int32_t limit = common_speculative_n_max((server_.*open(spec_tag())).get());
        return std::max(0, std::min(slot.get_n_draft_max(), limit));
    }

    // The most cells that the next step can take.
    int32_t n_step_cells() {
        int32_t n_text = 0;
        int32_t n = 0;
        for (const server_slot& slot : slots()) {
            if (!is_running(slot)) {
                continue;
            }
            if (slot.state == SLOT_STATE_GENERATING) {
                n += 1 + max_draft(slot);
            } else {
                // Images are decoded at once, beside the batch of text.
                (slot.mctx ? n : n_text) += n_unread(slot);
            }
        }
        return n + std::min(n_text, static_cast<int32_t>(llama_n_batch(context())));
    }

    // Cells that a request is likely to need soon, after its prompt.
    static int32_t n_room_to_write(const server_task& task, int32_t n_written) {
        if (!task.need_sampling()) {
            return 0;
        }
        const int32_t limit = task.params.n_predict;
        return limit < 0 ? n_writing : std::clamp(limit - n_written, 1, n_writing);
    }

    // Whether so many cells can be had beside what the running requests need. The only request always fits.
    bool fits(int32_t n_cells) {
        bool alone = true;
        for (const server_slot& slot : slots()) {
            if (is_running(slot)) {
                alone = false;
                n_cells +=
                    n_unread(slot) + n_room_to_write(*slot.task, static_cast<int32_t>(slot.stats.n_gen));
            }
        }
        if (alone || !shares_cells()) {
            return true;
        }
        if (room().n_free >= n_cells) {
            return true;
        }
        const PoolRoom all = room(/* count_idle */ true);
        return all.n_free + all.n_idle >= n_cells;
    }

    // Clear the idle slot that was used the longest time ago; its prompt goes to the RAM cache.
    bool give_up_idle(const server_slot* kept) {
        if (!shares_cells()) {
            return false;
        }
        server_slot* oldest = nullptr;
        for (server_slot& slot : slots()) {
            if (!slot.is_processing() && &slot != kept && slot.prompt.n_tokens() > 0 &&
                (!oldest || slot.t_last_used < oldest->t_last_used)) {
                oldest = &slot;
            }
        }
        if (!oldest) {
            return false;
        }
        save_to_cache(server_, *oldest);
        oldest->prompt_clear();
        return true;
    }

    // Pause the request that came last. One goes on alone, whatever happens.
    bool pause_youngest() {
        server_slot* youngest = nullptr;
        int32_t n_running = 0;
        for (server_slot& slot : slots()) {
            if (!is_running(slot)) {
                continue;
            }
            n_running++;
            const bool can_pause =
                slot.task->type == SERVER_TASK_TYPE_COMPLETION && slot.task->n_tokens_shared == 0;
            if (can_pause && (!youngest || slot.task->id > youngest->task->id)) {
                youngest = &slot;
            }
        }
        if (PausedSlot* begun = being_computed()) { // younger than all that run
            begun->slot->mem.seq_rm(begun->slot->id, -1, -1);
            begun->n_computed = 0;
            return n_running > 0;
        }
        if (!youngest || n_running < 2) {
            return false;
        }
        const int id = youngest->task->id;
        paused_.emplace(id, pause_slot(server_, *youngest, n_paused_bytes()));
        counters_->n_pauses++;
        count_paused();
        return true;
    }

    size_t n_paused_bytes() const {
        size_t n_bytes = 0;
        for (const auto& [id, paused] : paused_) {
            n_bytes += paused.size();
        }
        return n_bytes;
    }

    void count_paused() {
        counters_->n_paused = static_cast<int32_t>(paused_.size());
        counters_->n_paused_bytes = n_paused_bytes();
    }

    PausedSlot* being_computed() {
        const auto found = std::find_if(
            paused_.begin(), paused_.end(), [](const auto& entry) { return entry.second.n_computed > 0; });
        return found == paused_.end() ? nullptr : &found->second;
    }

    // The requests that were in the way when a step did not fit still run.
    bool is_crowded() {
        const std::set<int> running = running_ids();
        if (!std::includes(running.begin(), running.end(), crowded_.begin(), crowded_.end())) {
            crowded_.clear();
        }
        return !crowded_.empty();
    }

    // Start or resume the request that came first. Returns false if it has to wait, and all others with it.
    bool start_next() {
        if (is_crowded() || (paused_.empty() && waiting_.empty())) {
            return false;
        }
        for (auto entry = waiting_.begin(); entry != waiting_.end(); ++entry) {
            if (!paused_.empty() && paused_.begin()->first < entry->first) {
                break;
            }
            if (!awaits_prefix(server_, entry->second)) {
                return start(entry);
            }
        }
        return !paused_.empty() && resume(paused_.begin());
    }

    bool resume(std::map<int, PausedSlot>::iterator entry) {
        PausedSlot& paused = entry->second;
        server_slot& slot = *paused.slot;
        const int32_t n_cells = slot.prompt.n_tokens() - paused.n_computed;
        const int32_t n_prompt =
            paused.state == SLOT_STATE_GENERATING ? 0 : slot.task->n_tokens() - slot.prompt.n_tokens();
        if (!fits(n_cells + n_prompt + n_room_to_write(*slot.task, static_cast<int32_t>(slot.stats.n_gen)))) {
            return false;
        }
        while (room().n_free < n_cells && give_up_idle(nullptr)) {
        }
        if (!paused.is_whole() && !(paused.is_saved ? restore(paused) : compute(paused))) {
            return false;
        }
        if (!paused.is_whole()) {
            return false; // the rest is computed before the next steps
        }
        go_on(paused);
        paused_.erase(entry);
        count_paused();
        return true;
    }

    bool restore(PausedSlot& paused) { return restore_cells(server_, paused) || retry_or_fail(paused, true); }

    bool compute(PausedSlot& paused) {
        const int32_t result = compute_again(server_, paused);
        return result == 0 || retry_or_fail(paused, result == 1);
    }

    // A request whose cells could not be filled waits until another one ends. Alone, it fails.
    bool retry_or_fail(PausedSlot& paused, bool was_full) {
        server_slot& slot = *paused.slot;
        slot.mem.seq_rm(slot.id, -1, -1);
        paused.n_computed = 0;
        crowded_ = running_ids();
        if (!was_full || crowded_.empty()) {
            auto result = std::make_unique<server_task_result_error>();
            result->id = slot.task->id;
            result->err_msg =
                "this request was paused to make room for others, and its state could not be restored";
            server_.queue_results.send(std::move(result));
            slot.release();
            forget_ended();
        }
        return false;
    }

    bool start(std::map<int, server_task>::iterator entry) {
        server_task& task = entry->second;
        const auto n_slots = 1 + static_cast<std::ptrdiff_t>(task.child_tasks.size());
        const auto is_idle = [](const server_slot& slot) { return !slot.is_processing(); };
        if (std::count_if(slots().begin(), slots().end(), is_idle) < n_slots) {
            return false;
        }
        const auto n_prompt = static_cast<int32_t>(task.tokens.size() - n_held_by_others(server_, task));
        if (!fits(n_prompt + static_cast<int32_t>(n_slots) * n_room_to_write(task, 0))) {
            return false;
        }
        while (room().n_free < n_prompt && give_up_idle(best_match(task))) {
        }
        server_task started = std::move(task);
        waiting_.erase(entry);
        run(std::move(started));
        return true;
    }

    // llama.cpp chooses the slot, unless cells can be shared.
    void run(server_task&& task) {
        if (share_cells(server_, task) == 0) {
            share_busy_prefix(server_, task);
        }
        process_task(server_, std::move(task), /* is_yielding */ false);
    }

    const server_slot* best_match(const server_task& task) {
        const server_slot* best = nullptr;
        size_t n_best = 0;
        for (const server_slot& slot : slots()) {
            const size_t n = slot.is_processing() ? 0 : slot.prompt.tokens.get_common_prefix(task.tokens);
            if (n > n_best) {
                best = &slot;
                n_best = n;
            }
        }
        return best;
    }

    server_context_impl& server_;
    const std::shared_ptr<PoolCounters> counters_;
    std::map<int, server_task> waiting_; // by task id, which is the order of arrival
    std::map<int, PausedSlot> paused_;
    std::set<int> crowded_; // requests that ran when the cells ran out; nothing starts before one has ended
};

} // namespace

} // namespace xlc
