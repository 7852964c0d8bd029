// A chat as the model's template writes it out: rendered once for a request, then checked and answered.
#pragma once

#include "generation/request.h"

#include "chat.h"

#include <string>
#include <vector>

namespace xlc {

struct RenderedChat {
    ChatRequest chat;
    common_chat_params params;   // the prompt, and how its answer is constrained and parsed
    bool thinks = false;         // the model is to think first
    bool parallel_calls = false; // the answer may hold several tool calls
    // How the answer may begin with thinking; empty end tags when it cannot.
    std::string thinking_start_tag; // empty when the prompt has opened it already
    std::vector<std::string> thinking_end_tags;
};

} // namespace xlc
