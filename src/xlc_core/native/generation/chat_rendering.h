// Renders messages to a prompt with the model's chat template.
#pragma once

#include "generation/control_names.h"
#include "generation/request.h"

#include "chat.h"

namespace xlc {

// The engine's templates and settings, for requests that do not override them.
struct ChatDefaults {
    const common_chat_templates* templates;
    const common_chat_templates* tool_templates; // for chats with tools; may be the same
    bool use_jinja;
    bool enable_thinking;
    bool prefill_assistant;
    common_reasoning_format reasoning_format;
    std::map<std::string, std::string> template_kwargs;
};

// Whether the answer may hold tool calls.
bool may_call(const ChatRequest& chat);

// Return whether the model should think, from the request, else from its template_kwargs, else from the
// engine.
bool wants_thinking(const ChatRequest& chat, const ChatDefaults& defaults);

// Whether the answer may hold several tool calls.
bool allows_parallel_calls(const ChatRequest& chat, const ChatDefaults& defaults);

// Return the prompt, and how to constrain and parse the model's answer. Thread-safe. Throws
// Error::template_refusal when the template refuses the messages.
common_chat_params render_chat(const ChatRequest& chat, const ChatDefaults& defaults);

// The same for a chat whose texts name control tokens; the prompt has the marks.
common_chat_params render_marked(const MarkedChat& chat, const ChatDefaults& defaults);

// Return the tag that opens the model's thinking; empty if the prompt ends with it.
std::string thinking_start(const common_chat_params& rendered);

// Whether the prompt ends inside the model's thinking. Some templates know no other way.
bool opens_thinking(const common_chat_params& rendered);

} // namespace xlc
