// Threads that several llama.cpp contexts share, because the contexts compute in turn. A context without
// threads starts and ends them for every step. Contexts with separate threads disturb each other: after one
// has computed, its threads poll for more work on the cores that the other needs.
#pragma once

#include <cstdint>
#include <memory>

struct ggml_threadpool;
struct llama_context;

namespace xlc {

// How long an idle thread polls before it sleeps, in ggml's unit of 131,072 pauses: a few milliseconds, like
// GNU OpenMP's threads. The time between two steps is shorter.
constexpr uint32_t poll_level = 2;

class ComputeThreads {
public:
    // Threads for steps with one token per sequence, and for steps with more. If both numbers are equal, the
    // same threads serve both.
    ComputeThreads(int32_t n_threads, int32_t n_threads_batch);

    // Threads that read texts only, and may round by the number of tokens (support/batch_rounding.h).
    static ComputeThreads for_reading(int32_t n_threads);

    // The threads for steps with one token per sequence.
    ggml_threadpool* get() const { return threads_.get(); }

    // Make the context compute on these threads. They must live longer than the context.
    void attach(llama_context* context) const;

private:
    struct Free {
        void operator()(ggml_threadpool* threads) const;
    };
    using Threads = std::unique_ptr<ggml_threadpool, Free>;

    static Threads start(int32_t n_threads);

    Threads threads_;
    Threads threads_batch_; // nullptr: threads_ serves both
};

} // namespace xlc
