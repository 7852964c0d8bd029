#include "kernels/weight_product.h"

#include "kernels/aligned.h"
#include "support/batch_rounding.h"

#include <ggml.h>

#include <algorithm>
#include <cstdint>

namespace xlc {

namespace {

// With fewer rows than this, ggml is faster, because each panel is converted for them. 0: always. Measured
// with the shapes of Qwen3-0.6B on a Xeon with AVX-512 (docs/encoders.md).
int64_t fewest_rows(ggml_type type) {
    switch (type) {
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q5_0:
        return 5; // below, the memory decides (overrides/ggml/few_rows.h)
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q6_K:
        return 8;
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
        return 24;
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
        return 32;
    default:
        return ggml_is_quantized(type) ? 64 : 0;
    }
}

// Parts of the activations are no smaller than this.
constexpr size_t fewest_rows_of_part = 64;

} // namespace

const Kernels* WeightProduct::kernels_for(const ggml_tensor* node) {
    const Kernels* const best = best_kernels();
    if (!best || node->op != GGML_OP_MUL_MAT) {
        return nullptr;
    }
    const ggml_tensor* const weights = node->src[0];
    const int64_t fewest = fewest_rows(weights->type);
    const bool is_faster = fewest > 0 && ggml_nrows(node->src[1]) >= fewest &&
                           multiplies_file_weights(node) && ggml_is_matrix(weights) &&
                           weights->ne[0] % static_cast<int64_t>(fine_block) == 0 &&
                           weights->ne[1] >= static_cast<int64_t>(best->panel_width);
    return is_faster ? best : nullptr;
}

const Kernels* WeightProduct::kernels_for(const ggml_tensor* node, const void* threads) {
    const Kernels* const found = kernels_for(node);
    return found && allows_batch_rounding(ggml_nrows(node->src[1]), threads) ? found : nullptr;
}

size_t WeightProduct::workspace_size(const Kernels& kernels, const ggml_tensor* product, size_t n_threads) {
    const auto n_in = static_cast<size_t>(product->src[0]->ne[0]);
    const auto n_rows = static_cast<size_t>(ggml_nrows(product->src[1]));
    return alignment + quantized_values_size(n_rows, n_in) + quantized_scales_size(n_rows, n_in) +
           n_threads * WeightPanel::memory_size(kernels, n_in);
}

WeightProduct::WeightProduct(
    const Kernels& kernels, const ggml_tensor* product, void* workspace, size_t n_threads)
    : kernels_(&kernels), weights_(weight_matrix(product->src[0], 0)),
      activations_(static_cast<const float*>(product->src[1]->data)),
      out_(static_cast<float*>(product->data)), n_rows_(static_cast<size_t>(ggml_nrows(product->src[1]))),
      n_threads_(n_threads), n_panels_((weights_.n_out + kernels.panel_width - 1) / kernels.panel_width) {
    // Some chunks for each thread, so that none waits long for the last one. A panel is converted for each
    // part.
    const size_t n_wanted = (4 * n_threads + n_panels_ - 1) / n_panels_;
    const size_t n_most = std::max<size_t>(1, n_rows_ / fewest_rows_of_part);
    n_row_parts_ = std::min(n_wanted, n_most);
    char* at = aligned(static_cast<char*>(workspace));
    rows_.values = reinterpret_cast<int16_t*>(at);
    at += quantized_values_size(n_rows_, weights_.n_in);
    rows_.scales = reinterpret_cast<float*>(at);
    panels_ = at + quantized_scales_size(n_rows_, weights_.n_in);
}

void WeightProduct::convert(size_t thread) const {
    const size_t n_in = weights_.n_in;
    const size_t begin = n_rows_ * thread / n_threads_;
    const size_t end = n_rows_ * (thread + 1) / n_threads_;
    kernels_->quantize_finely(
        activations_ + begin * n_in, n_in, end - begin, n_in, n_in, rows_from(rows_, begin, n_in));
}

void WeightProduct::multiply(size_t chunk, size_t thread) const {
    const size_t part = chunk / n_panels_;
    const size_t begin = n_rows_ * part / n_row_parts_;
    const size_t end = n_rows_ * (part + 1) / n_row_parts_;
    const size_t panel = chunk % n_panels_;
    const WeightPanel packed(
        *kernels_, weights_, panel, panels_ + thread * WeightPanel::memory_size(*kernels_, weights_.n_in));
    float* const out = out_ + begin * weights_.n_out + panel * kernels_->panel_width;
    const QuantizedRows rows = rows_from(rows_, begin, weights_.n_in);
    if (packed.is_full()) {
        packed.multiply(rows, end - begin, out, weights_.n_out);
    } else {
        packed.multiply_apart(rows, end - begin, [&](size_t row) { return out + row * weights_.n_out; });
    }
}

} // namespace xlc
