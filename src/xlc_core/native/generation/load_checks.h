// Checks that llama.cpp's loader does not make.
#pragma once

#include "loading/engine_params.h"

#include <string>

struct common_chat_templates;
struct common_params_speculative;

namespace xlc {

// Throws Error(insufficient_memory or model_load) with llama.cpp's reason, and names the file that caused it.
// `generates`: whether the engine has slots, whose context takes memory too.
[[noreturn]] void throw_load_error(const EngineParams& params, const std::string& reason, bool generates);

// Throws Error(model_load) if a kind of speculation could not start; the server would continue without it.
// Call on the thread that has loaded the model.
void check_speculation(const common_params_speculative& wanted);

// Warns if the model's own template cannot be used, which only keeps the model from chatting. Throws
// Error(invalid_request) for a template that was asked for.
void check_template(const EngineParams& params, const common_chat_templates* templates);

} // namespace xlc
