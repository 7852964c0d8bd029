// From messages to a prompt, by the model's own chat template.
#pragma once

#include "generation/request.h"

#include "chat.h"

namespace xlc {

// How the engine's template is to be used when a request does not say.
struct ChatDefaults {
    const common_chat_templates* templates;
    const common_chat_templates* tool_templates; // for chats with tools; may be the same
    bool use_jinja;
    bool enable_thinking;
    bool prefill_assistant;
    common_reasoning_format reasoning_format;
    std::map<std::string, std::string> template_kwargs;
};

// How thinking is given back: as the request says, else the engine.
common_reasoning_format reasoning_format(const ChatRequest& chat, common_reasoning_format fallback);

// Whether the model is to think: as the request says, else its template_kwargs, else the engine.
bool wants_thinking(const ChatRequest& chat, const ChatDefaults& defaults);

// The prompt, and how to constrain and parse what the model answers to it. Thread-safe.
// Throws Error(invalid_request) with the template's own words when it cannot express the messages.
common_chat_params
render_chat(const ChatRequest& chat, const ChatDefaults& defaults, const std::string& grammar);

// What opens the model's thinking; empty where the prompt has done so already.
std::string thinking_start(const common_chat_params& rendered);

} // namespace xlc
