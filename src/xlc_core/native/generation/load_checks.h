// What llama.cpp's loader leaves unsaid.
#pragma once

#include "engine/engine_params.h"

#include <string>

struct common_params_speculative;

namespace xlc {

// Throws Error(insufficient_memory or model_load) for llama.cpp's reason, naming the file that is to blame.
[[noreturn]] void throw_load_error(const EngineParams& params, const std::string& reason);

// The server goes on without a kind of speculation that does not come up: throws Error(model_load). For the
// thread that has loaded the model.
void check_speculation(const common_params_speculative& wanted);

} // namespace xlc
