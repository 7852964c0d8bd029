// From a request to the parameters of llama.cpp's task, field by field, with no JSON in between.
#pragma once

#include "generation/request.h"

#include "chat.h"
#include "server-task.h"

namespace xlc {

// `rendered` is null for a plain completion. Throws Error(invalid_request) for what the vocabulary or
// llama.cpp refuses.
task_params to_task_params(
    const GenerationRequest& request,
    const common_chat_params* rendered,
    const common_params& base,
    const llama_vocab* vocab);

} // namespace xlc
