// What llama.cpp's server keeps to itself and overrides/server/server-context.cpp opens: work on its loop's
// thread, between two steps, and there the conversations that its slots hold.
#pragma once

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

// Runs work on the loop's thread while no step is under way, in turn with llama.cpp's own tasks.
class LoopJobs {
public:
    // Returns false when it must wait for a slot to become free; it is then called again.
    using Work = std::function<bool()>;

    // Between load_model and start_loop. The context must outlive this.
    explicit LoopJobs(server_context& context);

    // From any thread. The future has what the work threw; a broken promise when the loop ended before it
    // ran.
    std::future<void> post(Work work);

    // Forgets what has not run. Call when the loop has ended; later posts are broken at once.
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
    };

    server_context& context_;
    const std::shared_ptr<Jobs> jobs_;
};

// A conversation as a slot holds it: its tokens and what the model has computed of them.
struct SlotState {
    int32_t n_tokens = 0;
    std::vector<uint8_t> bytes;
};

// The functions below are for work on the loop's thread.

// The state of an idle slot that begins with the task's prompt, computed with its adapters, or, for nullptr,
// of the slot that was used last. nullptr when there is none. Throws Error(unsupported_feature) for what
// cannot be saved.
std::shared_ptr<const SlotState> capture_slot(server_context& context, const server_task* task);

// Gives the state to the idle slot that can best be spared; what that held goes to the prompt cache. False
// when no slot is idle. Throws Error(invalid_request) for a state that does not fit this engine.
bool restore_slot(server_context& context, const SlotState& state);

// The contexts of the model and of its draft model, which may be nullptr.
std::vector<llama_context*> contexts_of(const server_context& context);

// Bytes of the prompts that have lost their slot.
size_t prompt_cache_bytes(const server_context& context);

// For any thread: what load_model sets before it makes the context.
void set_output_limits(common_params& params);

} // namespace xlc
