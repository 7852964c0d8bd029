// Fitting a model's parameters to the memory of its devices, with what drafts for it.
#pragma once

#include "fit.h"

namespace xlc {

// As llama.cpp's common_fit_params. A head cannot be measured alone, as its context needs the model's:
// llama.cpp would log errors and leave it out. Each device keeps room for its weights instead.
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
