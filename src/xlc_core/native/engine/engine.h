// One model with its two workers: generation through llama.cpp's server_context, retrieval through a context
// of its own. Each starts on first use; they share one copy of the weights.
#pragma once

#include "engine/engine_params.h"
#include "engine/memory.h"
#include "engine/model_file.h"
#include "generation/generator.h"
#include "retrieval/retriever.h"
#include "support/process.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace xlc {

struct LoadedModelInfo {
    std::string description;
    uint64_t n_params = 0;
    uint64_t size_bytes = 0;
    int32_t n_ctx_train = 0;
    int32_t n_ctx = 0;       // that one request may fill
    int32_t n_ctx_total = 0; // of all slots; 0 without any
    int32_t n_parallel = 0;
    int32_t n_embd = 0;
    int32_t n_vocab = 0;
    bool supports_tools = false;
    bool supports_thinking = false;
    bool reads_images = false;
    bool reads_audio = false;
    bool reads_video = false;
};

// What an engine takes of each device's memory now.
struct EngineMemory {
    std::vector<DeviceMemory> devices;
    size_t prompt_cache = 0; // of the host's, for prompts that have lost their slot
    bool asleep = false;
};

// After `sleep_after` seconds without a request the engine sleeps: workers and weights are freed. What needs
// them loads them again, in its own time, and fails alone when that fails.
class Engine {
public:
    // Loads the weights, for the worker that the model is made for. Blocks; throws as Generator does.
    Engine(const EngineParams& params, const Generator::Progress& progress);
    ~Engine();

    // Throws Error(unsupported_feature) for an encoder, which cannot generate.
    std::shared_ptr<Generator> generator();
    std::shared_ptr<Retriever> retriever();

    // The weights. Throws Error(engine_closed).
    std::shared_ptr<llama_model> open_model();

    LoadedModelInfo info();
    std::vector<int32_t> tokenize(const std::string& text, bool add_special, bool parse_special);
    std::string detokenize(const std::vector<int32_t>& tokens, bool special);

    // Neither wakes it.
    GeneratorMetrics metrics();
    EngineMemory memory(const Generator::Poll& poll);
    bool asleep() const;
    // Starts its time without a request anew. False when it sleeps, so that the next request takes long.
    // Never waits.
    bool stay_awake();

    // Ends all requests with Error(engine_closed) and frees the model. Idempotent, from any thread.
    void close();
    bool closed() const;

    // The process that opened the engine: its threads exist in no other.
    const HomeProcess& home() const { return home_; }

private:
    using Clock = std::chrono::steady_clock;

    void watch();
    // With mutex_ held:
    void load(const Generator::Progress& progress);
    void load_for_generation(const Generator::Progress& progress);
    void load_for_retrieval(const Generator::Progress& progress);
    void load_retriever();
    void check_open() const;
    void wake();
    void touch() { last_used_ = Clock::now().time_since_epoch().count(); }
    Clock::time_point last_used() const { return Clock::time_point(Clock::duration(last_used_.load())); }
    bool loaded() const { return generator_ || retrieval_model_; }
    bool in_use() const;
    void fall_asleep();
    std::shared_ptr<llama_model> model() const;

    const EngineParams params_;
    const ModelFile file_;
    const HomeProcess home_;
    mutable std::mutex mutex_;
    std::atomic<bool> closed_{false};              // set with mutex_ held
    std::shared_ptr<llama_model> retrieval_model_; // when generation has not loaded one to borrow
    std::shared_ptr<Generator> generator_;
    std::shared_ptr<Retriever> retriever_;
    bool retriever_borrows_ = false; // the generator's model

    // Read and written without mutex_, which is held while a model loads.
    std::atomic<Clock::rep> last_used_{Clock::now().time_since_epoch().count()};
    std::atomic<bool> awake_{false};
    GeneratorMetrics before_sleep_; // counters of generators that are gone
    std::condition_variable watched_;
    std::thread watcher_; // puts it to sleep
    std::mutex close_mutex_;
};

// What an engine of these parameters would take when it is opened.
MemoryEstimate estimate_engine_memory(const EngineParams& params);

} // namespace xlc
