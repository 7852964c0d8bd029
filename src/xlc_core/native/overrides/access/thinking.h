// A budget of thinking that any thread can end. llama.cpp makes its samplers from a request's parameters and
// nothing else, so the place of the budget's message carries what they do not say.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

struct common_params_sampling;
struct llama_sampler;

namespace xlc {

// Set by any thread, seen by the request's samplers with their next token.
using ThinkingSwitch = std::atomic<bool>;

// The thinking of one answer, shared by its request and its sampler.
struct Thinking {
    explicit Thinking(std::shared_ptr<const ThinkingSwitch> off_) : off(std::move(off_)) {}

    const std::shared_ptr<const ThinkingSwitch> off;
    std::atomic<int32_t> n_tokens{0}; // so far, without the tags
};

// Data for the sampler that llama.cpp's parameters do not have.
struct ThinkingControl {
    std::shared_ptr<Thinking> thinking; // may be nullptr
    bool opened = false;                // the prompt has opened the thinking
};

// Takes the place of the budget's message, which must have been made into tokens.
void mark_thinking(common_params_sampling& params, bool opened);

// Lets the sampler that is made from these parameters read the switch and count. No effect if the model does
// not think.
void mark_switch(common_params_sampling& params, const std::shared_ptr<Thinking>& thinking);

ThinkingControl control_of(const common_params_sampling& params);

// llama.cpp's sampler for a budget, which has read the prompt's end, made to look at the switch and count.
// Takes `budget` over.
llama_sampler* controlled(llama_sampler* budget, ThinkingControl control);

} // namespace xlc
