// Limits on thinking: a budget of tokens, and a switch that ends the thinking of a running answer.
#pragma once

#include "chat.h"
#include "common.h"

#include <atomic>
#include <memory>

struct llama_sampler;
struct llama_vocab;

namespace xlc {

struct ChatRequest;

// Any thread may set it. The request's samplers read it with their next token.
using ThinkingSwitch = std::atomic<bool>;

// Data for the sampler that llama.cpp's parameters do not hold.
struct ThinkingControl {
    std::shared_ptr<const ThinkingSwitch> off; // may be nullptr
    bool opened = false;                       // the prompt has opened the thinking
};

// Set the tokens that begin and end the thinking, and the request's budget, for llama.cpp's sampler. `out`
// already holds the engine's settings, for values that the request omits.
void set_thinking(
    common_params_sampling& out,
    const ChatRequest& chat,
    const common_chat_params& rendered,
    const llama_vocab* vocab);

// Let the switch end the thinking of all samplers that are created from these parameters. No effect if the
// model does not think.
void mark_switch(common_params_sampling& params, const std::shared_ptr<ThinkingSwitch>& off);
ThinkingControl control_of(const common_params_sampling& params);

// Return a sampler around llama.cpp's sampler for a budget, which has read the end of the prompt. It also
// reads the switch. Takes ownership of `budget`.
llama_sampler* controlled(llama_sampler* budget, ThinkingControl control);

} // namespace xlc
