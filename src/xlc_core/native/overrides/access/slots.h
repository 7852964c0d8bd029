// Access to internals of llama.cpp's server, opened by overrides/server/server-context.cpp: work on its
// loop's thread between two steps, the conversations in its slots, and the order in which requests start.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct common_params;
struct llama_context;
struct server_context;
struct server_task;

namespace xlc {

struct Steps;

// Requests whose cells of the KV cache were given to older ones (overrides/server/pool.h).
struct PoolCounters {
    std::atomic<int32_t> n_paused = 0;      // now
    std::atomic<size_t> n_paused_bytes = 0; // their states
    std::atomic<int64_t> n_pauses = 0;      // since the engine was opened
};

// Runs work on the loop's thread between steps, in turn with llama.cpp's own tasks. Ends the loop with
// AssertionFailed when an assertion has failed in a step.
class LoopJobs {
public:
    // Returns false when it must wait for a slot to become free; it is then called again.
    using Work = std::function<bool()>;

    // Create it between load_model and start_loop. The context must live longer. `failed` is called on the
    // loop's thread with the text of an assertion, before any request gets an error from llama.cpp.
    LoopJobs(server_context& context, std::function<void(const std::string&)> failed);

    // From any thread. The future rethrows the work's exception. If the loop ends before the work runs, the
    // promise is broken.
    std::future<void> post(Work work);

    // End the running step and later ones as soon as possible. Call before the loop is terminated, which no
    // longer reads that requests were cancelled. From any thread.
    void end_steps();

    const PoolCounters& pool() const { return *pool_counters_; }

    // Drops work that has not run. Call when the loop has ended; the promise of later work is broken at once.
    void close();

private:
    struct Job {
        Work work;
        std::promise<void> done;
        bool deferred = false;
    };
    struct Jobs {
        std::mutex mutex;
        std::map<int, std::shared_ptr<Job>> waiting; // by task id
        bool closed = false;
        std::shared_ptr<Steps> steps;
    };

    server_context& context_;
    const std::shared_ptr<Jobs> jobs_;
    const std::shared_ptr<PoolCounters> pool_counters_;
};

// The state of a slot: a conversation's tokens and what the model has computed for them.
struct SlotState {
    int32_t n_tokens = 0;
    std::vector<uint8_t> bytes;
};

// The functions below are for work on the loop's thread.

// Return the state of an idle slot that begins with the task's prompt and was computed with the same
// adapters. Without a task, return the state of the slot that was used last. nullptr if no slot fits. Throws
// Error(unsupported_feature) for a state that cannot be saved.
std::shared_ptr<const SlotState> capture_slot(server_context& context, const server_task* task);

// Load the state into the least useful idle slot, whose old conversation goes to the prompt cache. Return
// false when no slot is idle. Throws Error(invalid_request) for a state that does not fit this engine.
bool restore_slot(server_context& context, const SlotState& state);

// The contexts of the model and of its draft model, which may be nullptr.
std::vector<llama_context*> contexts_of(const server_context& context);

// Bytes of the prompts that have lost their slot.
size_t prompt_cache_bytes(const server_context& context);

// For any thread: set the limits that load_model needs before it creates the context.
void set_output_limits(common_params& params);

} // namespace xlc
