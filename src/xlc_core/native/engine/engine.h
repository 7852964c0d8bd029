// One model with its two workers: generation with llama.cpp's server_context, retrieval with a separate
// context. Each starts at first use. They share one copy of the weights.
#pragma once

#include "generation/generator.h"
#include "loading/engine_params.h"
#include "loading/memory.h"
#include "loading/model_file.h"
#include "retrieval/retriever.h"
#include "support/background_work.h"
#include "support/process.h"
#include "support/thread.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace xlc {

struct LoadedModelInfo {
    std::string description;
    uint64_t n_params = 0;
    uint64_t size_bytes = 0;
    int32_t n_ctx_train = 0;
    int32_t n_ctx = 0;       // tokens that one request may hold
    int32_t n_ctx_total = 0; // tokens of all slots; 0 without slots
    int32_t n_parallel = 0;
    int32_t n_embd = 0;
    int32_t n_vocab = 0;
    bool supports_tools = false;
    bool supports_thinking = false;
    bool reads_images = false;
    bool reads_audio = false;
    bool reads_video = false;
    bool decides = false;
};

// The memory that an engine uses now on each device.
struct EngineMemory {
    std::vector<DeviceMemory> devices;
    size_t prompt_cache = 0; // host memory for prompts that have lost their slot
    size_t paused = 0;       // host memory for the states of paused requests
    bool asleep = false;
};

// After `sleep_after` seconds without a request the engine sleeps: workers and weights are freed. The next
// request that needs them loads them again and takes longer. If loading fails, only that request fails. The
// same happens after llama.cpp has failed in a step of the generator: its requests fail, and the next one
// loads the model again.
class Engine {
public:
    // Loads the weights for the worker that fits the model. Blocks; throws the errors of Generator.
    Engine(const EngineParams& params, const Generator::Progress& progress);
    ~Engine();

    // Throws Error(unsupported_feature) for an encoder, which cannot generate.
    std::shared_ptr<Generator> generator();
    std::shared_ptr<Retriever> retriever();

    // Return the model. Throws Error(engine_closed).
    std::shared_ptr<llama_model> open_model();

    LoadedModelInfo info();
    // `poll` is called while a long text is tokenised; it throws to stop waiting.
    std::vector<int32_t>
    tokenize(const std::string& text, bool add_special, bool parse_special, const Poll& poll);
    std::string detokenize(const std::vector<int32_t>& tokens, bool special);

    // These do not wake the engine.
    GeneratorMetrics metrics();
    EngineMemory memory(const Poll& poll);
    bool asleep() const;
    // Restarts the time until the engine sleeps. Returns false when it sleeps already, so that the next
    // request takes long. Never waits.
    bool stay_awake();

    // Ends all requests with Error(engine_closed) and frees the model. Idempotent, from any thread.
    void close();
    bool closed() const;

    // The process that opened the engine, the only one in which its threads exist.
    const HomeProcess& home() const { return home_; }

private:
    using Clock = std::chrono::steady_clock;

    void watch();
    // With mutex_ held:
    void load(const Generator::Progress& progress);
    void load_worker(const Generator::Progress& progress);
    void unload();
    void drop_failed_generator();
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

    const ModelFile file_;
    const EngineParams params_;
    const HomeProcess home_;
    mutable std::mutex mutex_;
    std::atomic<bool> closed_{false};              // set with mutex_ held
    std::shared_ptr<llama_model> retrieval_model_; // if the generator has not loaded the model
    std::shared_ptr<Generator> generator_;
    std::shared_ptr<Retriever> retriever_;
    bool retriever_borrows_ = false; // the retriever uses the generator's model

    // Read and written without mutex_, which is held while a model loads.
    std::atomic<Clock::rep> last_used_{Clock::now().time_since_epoch().count()};
    std::atomic<bool> awake_{false};
    GeneratorMetrics before_sleep_; // counters of generators that were freed
    std::condition_variable watched_;
    Thread watcher_; // puts the engine to sleep
    std::mutex close_mutex_;
    BackgroundWork background_;
};

// Return the memory that an engine with these parameters would use once it is open.
MemoryEstimate estimate_engine_memory(const EngineParams& params);

} // namespace xlc
