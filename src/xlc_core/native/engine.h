// One model with its two workers: generation through llama.cpp's server_context, retrieval through a context
// of its own. Each starts on first use; they share one copy of the weights.
#pragma once

#include "engine_params.h"
#include "generation/generator.h"
#include "model_file.h"
#include "retrieval/retriever.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace xlc {

struct EngineFacts {
    std::string description;
    uint64_t n_params = 0;
    uint64_t size_bytes = 0;
    int32_t n_ctx_train = 0;
    int32_t n_ctx = 0; // that one request may fill
    int32_t n_embd = 0;
    int32_t n_vocab = 0;
    bool supports_tools = false;
    bool supports_thinking = false;
    bool reads_images = false;
    bool reads_audio = false;
    bool reads_video = false;
};

class Engine {
public:
    // Loads the weights, for the worker that the model is made for. Blocks; throws as Generator does.
    Engine(const EngineParams& params, const Generator::Progress& progress);
    ~Engine();

    // Throws Error(unsupported_feature) for an encoder, which cannot generate.
    std::shared_ptr<Generator> generator();
    std::shared_ptr<Retriever> retriever();

    // The weights that are loaded. Throws Error(engine_closed).
    std::shared_ptr<llama_model> open_model() const;

    EngineFacts facts() const;
    std::vector<int32_t> tokenize(const std::string& text, bool add_special, bool parse_special) const;
    std::string detokenize(const std::vector<int32_t>& tokens, bool special) const;

    // Ends all requests with Error(engine_closed) and frees the model. Idempotent, from any thread.
    void close();
    bool closed() const;

    // The process that opened the engine: its threads exist in no other.
    bool belongs_to_this_process() const;

private:
    void load_for_generation(const Generator::Progress& progress);
    void load_for_retrieval(const Generator::Progress& progress);
    // With mutex_ held:
    void check_open() const;
    std::shared_ptr<llama_model> model() const;

    const EngineParams params_;
    const ModelFile file_;
    const long process_;
    mutable std::mutex mutex_;
    bool closed_ = false;
    std::shared_ptr<llama_model> retrieval_model_; // when generation has not loaded one to borrow
    std::shared_ptr<Generator> generator_;
    std::shared_ptr<Retriever> retriever_;
};

} // namespace xlc
