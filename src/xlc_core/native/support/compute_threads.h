// The threads of llama.cpp's contexts that compute in turn. A context without such threads starts and ends
// them for every step. Contexts with threads of their own disturb each other: those of the one that has just
// computed poll for more work on the cores that the other's need.
#pragma once

#include <cstdint>
#include <memory>

struct ggml_threadpool;
struct llama_context;

namespace xlc {

// How long an idle thread polls before it sleeps, in ggml's unit of 131,072 pauses: a few milliseconds, as
// long as GNU OpenMP's threads do. What happens between two steps takes less.
constexpr uint32_t poll_level = 2;

class ComputeThreads {
public:
    // Threads for steps of one token a sequence and for steps of more; the same ones when there are as many.
    ComputeThreads(int32_t n_threads, int32_t n_threads_batch);

    // Have the context compute on these, as long as it lives.
    void attach(llama_context* context) const;

private:
    struct Free {
        void operator()(ggml_threadpool* threads) const;
    };
    using Threads = std::unique_ptr<ggml_threadpool, Free>;

    static Threads start(int32_t n_threads);

    Threads threads_;
    Threads threads_batch_; // nullptr for the same
};

} // namespace xlc
