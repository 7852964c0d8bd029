// The counters of one generation worker.
#pragma once

#include <cstdint>

struct server_task_result;

namespace xlc {

struct PoolCounters;

// Counters since the engine was opened, and its current work.
struct GeneratorMetrics {
    int32_t n_running = 0;
    int32_t n_waiting = 0;
    int32_t n_paused = 0;
    int64_t n_pauses = 0;
    uint64_t n_prompt_tokens = 0;
    double prompt_seconds = 0;
    uint64_t n_cached_tokens = 0;
    uint64_t n_generated_tokens = 0;
    double generation_seconds = 0;
    uint64_t n_draft_tokens = 0;
    uint64_t n_draft_accepted = 0;

    // Add the counters of another generator.
    void add(const GeneratorMetrics& other);
};

// Return the counters in llama.cpp's answer to a task of type SERVER_TASK_TYPE_METRICS.
GeneratorMetrics read_metrics(const server_task_result& result, const PoolCounters& pool);

} // namespace xlc
