// The generation worker: llama.cpp's server_context, with its loop on a separate thread.
#pragma once

#include "generation/decision.h"
#include "generation/generation.h"
#include "generation/metrics.h"
#include "generation/rendered_chat.h"
#include "generation/request.h"
#include "loading/engine_params.h"
#include "support/polling.h"

#include <functional>
#include <memory>
#include <vector>

struct common_params;
struct llama_model;
struct server_context;
struct server_task;

namespace xlc {

class Generator {
public:
    // Called with 0 … 1 while weights are loaded. Returning false stops loading.
    using Progress = std::function<bool(float)>;

    // Loads the model and starts the loop. Throws Error(model_load, insufficient_memory, …) with llama.cpp's
    // reason, and Error(request_cancelled) when `progress` returned false.
    Generator(const EngineParams& params, const Progress& progress);
    ~Generator();

    // Queue a request. Thread-safe; waits until its prompt is tokenised.
    // Throws Error(invalid_request, context_overflow, constraint) before anything is queued.
    std::shared_ptr<Generation> submit(const GenerationRequest& request, const Poll& poll);

    // Throws Error(invalid_request) when the template cannot express the messages.
    std::shared_ptr<const RenderedChat> render(ChatRequest chat) const;

    // Return the tokens of a request's prompt; -1 stands for a piece of an image or sound. Throws the errors
    // of submit(), except for a prompt that is too long.
    std::vector<int32_t> prompt_tokens(const GenerationRequest& request, const Poll& poll) const;

    GeneratorMetrics metrics() const;

    // Bytes of the states of requests that are paused now.
    size_t paused_bytes() const;

    // Whether all requests are over.
    bool idle() const;
    // Whether its loop has ended because llama.cpp failed. Its requests are over then, and it takes no
    // others.
    bool failed() const;

    // Return the task that submit() would queue. Throws the errors of submit().
    std::shared_ptr<const server_task> task(const GenerationRequest& request, const Poll& poll) const;

    // Answers a decision model's questions (generation/decision.h). Waits; `poll` is called
    // meanwhile and gives up by throwing. Throws Error(engine_closed) when the generator is closed meanwhile.
    Decision decide(const std::string& request, const Poll& poll) const;

    // Runs `work` on the loop's thread between two steps and waits for it. If it returns false, it is called
    // again after the next slot is free. Its exceptions are rethrown here. `poll` is called while waiting and
    // may throw to stop waiting. Since `work` may outlive the call then, it must own all objects that it
    // uses.
    using Work = std::function<bool(server_context&)>;
    void on_loop(Work work, const Poll& poll) const;

    // The parameters after llama.cpp has filled them in.
    const common_params& params() const;

    // Ends every request with Error(engine_closed) and the threads with them. Idempotent.
    void close();

    llama_model* model() const;
    int32_t n_ctx_per_request() const;
    int32_t n_ctx_total() const;
    bool supports_tools() const;
    bool supports_thinking() const;
    bool reads_media(const std::string& kind) const; // image, audio, video

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace xlc
