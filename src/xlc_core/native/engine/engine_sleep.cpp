#include "engine/engine.h"

#include "overrides/access/slots.h"
#include "support/errors.h"
#include "support/seconds.h"

namespace xlc {

void Engine::wake() {
    if (!loaded()) {
        const ModelFile file = read_model_file(params_.model_path);
        if (file.file_bytes != file_.file_bytes || file.architecture != file_.architecture) {
            throw Error(
                ErrorKind::model_load, "the model file '" + params_.model_path +
                                           "' was changed while the engine slept; open a new engine for it");
        }
        load({});
        awake_ = true;
        watched_.notify_all();
    }
    touch();
}

bool Engine::in_use() const {
    // If others hold the worker too, they are about to make a request.
    const bool retrieves = retriever_ && (retriever_.use_count() > 1 || !retriever_->idle());
    const long n_holders = retriever_ && retriever_borrows_ ? 2 : 1;
    return retrieves || (generator_ && (generator_.use_count() > n_holders || !generator_->idle()));
}

void Engine::watch() {
    using namespace std::chrono_literals;
    const auto limit = to_duration(params_.sleep_after);
    std::unique_lock<std::mutex> lock(mutex_);
    while (!closed_) {
        if (!loaded()) {
            watched_.wait(lock);
            continue;
        }
        const auto now = Clock::now();
        if (in_use()) {
            touch();
            watched_.wait_until(lock, now + std::clamp<Clock::duration>(limit / 8, 5ms, 1s));
            continue;
        }
        if (now < last_used() + limit) {
            watched_.wait_until(lock, last_used() + limit);
            continue;
        }
        // Order matters: clear awake_, then read last_used_. stay_awake() writes last_used_, then reads
        // awake_, so one of the two sees the other.
        awake_ = false;
        if (now < last_used() + limit) {
            awake_ = true;
        } else {
            fall_asleep();
        }
    }
}

void Engine::fall_asleep() {
    if (generator_) {
        try {
            before_sleep_.add(generator_->metrics());
        } catch (const Error&) {
            // The generator has failed, so its counters are lost.
        }
    }
    unload();
}

bool Engine::asleep() const {
    return !closed_ && !awake_;
}

bool Engine::stay_awake() {
    touch();
    return closed_ || awake_;
}

GeneratorMetrics Engine::metrics() {
    std::shared_ptr<Generator> generator;
    GeneratorMetrics metrics;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        check_open();
        generator = generator_;
        metrics = before_sleep_;
    }
    if (generator && !generator->failed()) {
        GeneratorMetrics now = generator->metrics();
        now.add(metrics);
        return now;
    }
    return metrics;
}

EngineMemory Engine::memory(const Poll& poll) {
    std::shared_ptr<Generator> generator;
    std::shared_ptr<Retriever> retriever;
    std::shared_ptr<llama_model> retrieval_model;
    EngineMemory memory;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        check_open();
        memory.asleep = !loaded();
        generator = generator_;
        retriever = retriever_;
        retrieval_model = retrieval_model_;
    }
    MemoryReport report;
    if (generator && !generator->failed()) {
        struct Found {
            MemoryReport report;
            size_t prompt_cache = 0;
        };
        const auto found = std::make_shared<Found>();
        generator->on_loop(
            [found](server_context& context) {
                const llama_context* first = nullptr;
                for (const llama_context* used : contexts_of(context)) {
                    if (used) {
                        const bool shares = first && llama_get_model(first) == llama_get_model(used);
                        found->report.add(used, !shares);
                        first = first ? first : used;
                    }
                }
                found->prompt_cache = prompt_cache_bytes(context);
                return true;
            },
            poll);
        report = found->report;
        report.add_projector(params_);
        memory.prompt_cache = found->prompt_cache;
        memory.paused = generator->paused_bytes();
    } else if (generator) {
        report.add(generator->model()); // its contexts are of no use any more
    }
    if (retrieval_model) {
        report.add(retrieval_model.get());
    }
    if (retriever) {
        report.add(retriever->memory());
    }
    memory.devices = report.devices();
    return memory;
}

} // namespace xlc
