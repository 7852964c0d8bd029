// How long a model may think: a budget of tokens, and a switch that ends the thinking of an answer under way.
#pragma once

#include "chat.h"
#include "common.h"

#include <atomic>
#include <memory>

struct llama_sampler;
struct llama_vocab;

namespace xlc {

struct ChatRequest;

// Set by any thread, seen by the request's samplers with their next token.
using ThinkingSwitch = std::atomic<bool>;

// What llama.cpp's parameters do not tell the sampler.
struct ThinkingControl {
    std::shared_ptr<const ThinkingSwitch> off; // may be nullptr
    bool opened = false;                       // the prompt has opened the thinking
};

// Tells llama.cpp's sampler by which tokens the thinking begins and ends, and what the request's budget is.
// What it does not say is as the engine has it, in `out` already.
void set_thinking(
    common_params_sampling& out,
    const ChatRequest& chat,
    const common_chat_params& rendered,
    const llama_vocab* vocab);

// Lets the switch end the thinking of all samplers made from these parameters. Nothing happens where the
// model does not think.
void mark_switch(common_params_sampling& params, const std::shared_ptr<ThinkingSwitch>& off);
ThinkingControl control_of(const common_params_sampling& params);

// llama.cpp's sampler for a budget, which has read the prompt's end, made to look at the switch. Takes
// `budget` over.
llama_sampler* controlled(llama_sampler* budget, ThinkingControl control);

} // namespace xlc
