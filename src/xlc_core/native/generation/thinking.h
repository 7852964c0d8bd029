// How long a model may think: what a request, its template and its engine say about it.
#pragma once

#include "overrides/access/thinking.h"

#include "chat.h"
#include "common.h"

struct llama_vocab;

namespace xlc {

struct ChatRequest;

// Sets by which tokens llama.cpp's sampler sees thinking begin and end, and the request's budget. `out`
// already has the engine's values for what the request leaves out.
void set_thinking(
    common_params_sampling& out,
    const ChatRequest& chat,
    const common_chat_params& rendered,
    const llama_vocab* vocab);

} // namespace xlc
