// A chat as the model's template writes it out: rendered once for a request, then checked and answered.
#pragma once

#include "generation/request.h"
#include "support/text_mark.h"

#include "chat.h"

#include <string>
#include <vector>

namespace xlc {

struct RenderedChat {
    ChatRequest chat;
    common_chat_params params; // the prompt, and how its answer is constrained and parsed
    // In the prompt's names of control tokens that are only text (support/text_mark.h); may be empty.
    std::string mark;
    bool thinks = false;         // the model is to think first
    bool parallel_calls = false; // the answer may hold several tool calls
    // How the answer may begin with thinking; empty end tags when it cannot.
    std::string thinking_start_tag; // empty when the prompt has opened it already
    std::vector<std::string> thinking_end_tags;

    std::string prompt() const { return without_mark(params.prompt, mark); }
};

} // namespace xlc
