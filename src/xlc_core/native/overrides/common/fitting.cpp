#include "overrides/access/fitting.h"

#include "overrides/access/draft_checks.h"

#include <filesystem>

namespace xlc {

common_params_fit_status fit_params(
    const char* path,
    llama_model_params* model,
    llama_context_params* context,
    float* tensor_split,
    llama_model_tensor_buft_override* overrides,
    size_t* margins,
    uint32_t n_ctx_min,
    const common_fit_extra_model* extra,
    ggml_log_level log_level) {
    if (extra && is_head(extra->path_model)) {
        std::error_code failed;
        const auto n_bytes = std::filesystem::file_size(std::filesystem::u8path(extra->path_model), failed);
        for (size_t i = 0; !failed && i < llama_max_devices(); i++) {
            margins[i] += n_bytes;
        }
        extra = nullptr;
    }
    return common_fit_params(
        path, model, context, tensor_split, overrides, margins, n_ctx_min, extra, log_level);
}

} // namespace xlc
