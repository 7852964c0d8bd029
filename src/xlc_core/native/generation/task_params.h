// Converts a request to the parameters of llama.cpp's task, field by field, without JSON.
#pragma once

#include "constraints/closing.h"
#include "generation/rendered_chat.h"
#include "generation/request.h"

#include "chat.h"
#include "server-task.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace xlc {

// `n_ctx`: tokens that the request may hold. Throws Error(invalid_request) for values that the vocabulary or
// llama.cpp refuses.
task_params to_task_params(
    const GenerationRequest& request, const common_params& base, const llama_vocab* vocab, int32_t n_ctx);

// Return the settings like llama.cpp's server reports them, as JSON text: the effect of a request's options.
std::string task_settings(const task_params& params);

constexpr int32_t no_limit = std::numeric_limits<int32_t>::max();

// Return how to end an answer before its tokens run out; nullopt without a limit, or without room. `n_room`:
// free tokens in the context.
std::optional<ClosingParams>
closing_params(const task_params& params, int32_t n_room, const GenerationRequest& request);

} // namespace xlc
