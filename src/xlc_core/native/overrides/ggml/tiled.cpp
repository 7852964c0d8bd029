// ggml's tiled.cpp, whose products of quantised weights come before all others, with two more paths: the
// products of our own kernels (kernels/weight_product.h), and those of few rows (few_rows.h).
#include "kernels/expert_product.h"
#include "kernels/weight_product.h"
#include "overrides/ggml/chunks.h"
#include "overrides/ggml/few_rows.h"

#define ggml_tiled_wdata_size ggml_own_wdata_size
#define ggml_compute_forward_mul_mat_tiled ggml_compute_forward_mul_mat_own
#include "ggml/src/ggml-cpu/tiled/tiled.cpp"
#undef ggml_tiled_wdata_size
#undef ggml_compute_forward_mul_mat_tiled

#include <algorithm>

extern "C" size_t ggml_tiled_wdata_size(int n_tasks, ggml_tensor* dst) {
    const auto n_threads = static_cast<size_t>(n_tasks);
    size_t size = ggml_own_wdata_size(n_tasks, dst);
    if (const xlc::Kernels* const kernels = xlc::WeightProduct::kernels_for(dst)) {
        size = std::max(size, xlc::WeightProduct::workspace_size(*kernels, dst, n_threads));
    }
    if (const xlc::Kernels* const kernels = xlc::ExpertProduct::kernels_for(dst)) {
        size = std::max(size, xlc::ExpertProduct::workspace_size(*kernels, dst, n_threads));
    }
    return size;
}

extern "C" bool ggml_compute_forward_mul_mat_tiled(const ggml_compute_params* params, ggml_tensor* dst) {
    if (xlc::multiply_few_rows(params, dst)) {
        return true;
    }
    const xlc::Kernels* const kernels =
        params->use_ref ? nullptr : xlc::WeightProduct::kernels_for(dst, params->threadpool);
    if (!kernels) {
        return ggml_compute_forward_mul_mat_own(params, dst);
    }
    const auto thread = static_cast<size_t>(params->ith);
    const xlc::WeightProduct product(*kernels, dst, params->wdata, static_cast<size_t>(params->nth));
    product.convert(thread);
    xlc::share_chunks(params, product.n_chunks(), [&](size_t chunk) { product.multiply(chunk, thread); });
    return true;
}
