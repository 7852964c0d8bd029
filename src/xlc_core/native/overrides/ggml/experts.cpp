#include "overrides/ggml/experts.h"

#include "kernels/expert_product.h"
#include "overrides/ggml/chunks.h"
#include "support/batch_rounding.h"

extern "C" bool xlc_multiply_experts(const ggml_compute_params* params, ggml_tensor* node) {
    const xlc::Kernels* const kernels = params->use_ref ? nullptr : xlc::ExpertProduct::kernels_for(node);
    if (!kernels) {
        return false;
    }
    const auto thread = static_cast<size_t>(params->ith);
    const bool rounds_by_batch = xlc::allows_batch_rounding(node->src[2]->ne[1], params->threadpool);
    const xlc::ExpertProduct product(
        *kernels, node, params->wdata, static_cast<size_t>(params->nth), rounds_by_batch);
    if (thread == 0) {
        product.sort();
    }
    ggml_barrier(params->threadpool);
    product.convert(thread);
    xlc::share_chunks(params, product.n_chunks(), [&](size_t chunk) { product.multiply(chunk, thread); });
    return true;
}
