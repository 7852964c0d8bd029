// Flash attention by our own kernels (kernels/flash_attention.h) where they can, else by ggml's.
#include "overrides/ggml/flash_attention.h"

#include "kernels/flash_attention.h"
#include "overrides/ggml/chunks.h"

#include "ops.h"

extern "C" void xlc_compute_flash_attention(const ggml_compute_params* params, ggml_tensor* node) {
    const xlc::Kernels* const kernels = params->use_ref ? nullptr : xlc::FlashAttention::kernels_for(node);
    const auto n_threads = static_cast<size_t>(params->nth);
    if (!kernels || xlc::FlashAttention::workspace_size(node, n_threads) > params->wsize) {
        ggml_compute_forward_flash_attn_ext(params, node);
        return;
    }
    const auto thread = static_cast<size_t>(params->ith);
    const xlc::FlashAttention attention(*kernels, node, params->wdata, params->wsize, n_threads);
    xlc::share_chunks(params, attention.n_chunks(), [&](size_t chunk) { attention.attend(chunk, thread); });
    if (attention.n_parts() > 1) {
        ggml_barrier(params->threadpool);
        attention.combine(thread);
    }
}
