#include "generation/metrics.h"

#include "overrides/access/slots.h"

#include "server-task.h"

namespace xlc {

void GeneratorMetrics::add(const GeneratorMetrics& other) {
    n_pauses += other.n_pauses;
    n_prompt_tokens += other.n_prompt_tokens;
    prompt_seconds += other.prompt_seconds;
    n_cached_tokens += other.n_cached_tokens;
    n_generated_tokens += other.n_generated_tokens;
    generation_seconds += other.generation_seconds;
    n_draft_tokens += other.n_draft_tokens;
    n_draft_accepted += other.n_draft_accepted;
}

GeneratorMetrics read_metrics(const server_task_result& result, const PoolCounters& pool) {
    const auto& answer = dynamic_cast<const server_task_result_metrics&>(result);
    const server_metrics& counters = answer.metrics;
    GeneratorMetrics out;
    out.n_running = answer.n_processing_slots;
    out.n_paused = pool.n_paused;
    out.n_pauses = pool.n_pauses;
    out.n_prompt_tokens = counters.prompt.count;
    out.prompt_seconds = static_cast<double>(counters.prompt.time) / 1e6;
    out.n_cached_tokens = counters.n_prompt_cached;
    out.n_generated_tokens = counters.predict.count;
    out.generation_seconds = static_cast<double>(counters.predict.time) / 1e6;
    out.n_draft_tokens = counters.n_draft_tokens;
    out.n_draft_accepted = counters.n_draft_accepted;
    return out;
}

} // namespace xlc
