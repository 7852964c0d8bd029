// Fits a model's parameters to the memory of its devices, with its draft model or head.
#pragma once

#include "fit.h"

namespace xlc {

// Like llama.cpp's common_fit_params. A head cannot be measured alone, because its context needs the model's
// context: llama.cpp would log errors and ignore it. So each device keeps room for the head's weights.
common_params_fit_status fit_params(
    const char* path,
    llama_model_params* model,
    llama_context_params* context,
    float* tensor_split,
    llama_model_tensor_buft_override* overrides,
    size_t* margins,
    uint32_t n_ctx_min,
    const common_fit_extra_model* extra,
    ggml_log_level log_level);

} // namespace xlc
