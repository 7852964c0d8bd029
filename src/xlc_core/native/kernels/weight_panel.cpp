#include "kernels/weight_panel.h"

#include "kernels/aligned.h"
#include "kernels/to_floats.h"

namespace xlc {

namespace {

// Weights are converted in slices of this many inputs; every block of a ggml type divides it.
constexpr size_t slice = 256;

} // namespace

bool multiplies_file_weights(const ggml_tensor* product) {
    const ggml_tensor* const weights = product->src[0];
    const ggml_tensor* const activations = product->src[1];
    return weights->op == GGML_OP_NONE && !weights->extra && ggml_is_contiguous(weights) &&
           activations->type == GGML_TYPE_F32 && ggml_is_contiguous(activations) &&
           ggml_is_contiguous(product);
}

WeightMatrix weight_matrix(const ggml_tensor* tensor, size_t matrix) {
    return {
        tensor->type, static_cast<const char*>(tensor->data) + matrix * tensor->nb[2], tensor->nb[1],
        static_cast<size_t>(tensor->ne[0]), static_cast<size_t>(tensor->ne[1])};
}

size_t quantized_values_size(size_t n_rows, size_t n_in) {
    return aligned(n_rows * n_in * sizeof(int16_t));
}

size_t quantized_scales_size(size_t n_rows, size_t n_in) {
    return aligned(n_rows * (n_in / fine_block) * sizeof(float));
}

size_t WeightPanel::memory_size(const Kernels& kernels, size_t n_in) {
    const size_t width = kernels.panel_width;
    return quantized_values_size(width, n_in) + quantized_scales_size(width, n_in) +
           aligned((slice + 1 + n_apart) * width * sizeof(float));
}

WeightPanel::WeightPanel(const Kernels& kernels, const WeightMatrix& weights, size_t panel, char* memory)
    : kernels_(&kernels), weights_(weights) {
    const size_t width = kernels.panel_width;
    const size_t first = panel * width;
    n_columns_ = std::min(width, weights.n_out - first);
    values_ = reinterpret_cast<int16_t*>(memory);
    memory += quantized_values_size(width, weights.n_in);
    scales_ = reinterpret_cast<float*>(memory);
    memory += quantized_scales_size(width, weights.n_in);
    slice_rows_ = reinterpret_cast<float*>(memory);
    bias_ = slice_rows_ + slice * width;
    apart_ = bias_ + width;
    std::fill_n(bias_, width, 0.0F);
    pack(first);
}

void WeightPanel::pack(size_t first) {
    const size_t width = kernels_->panel_width;
    const char* const rows = weights_.data + first * weights_.stride;
    for (size_t begin = 0; begin < weights_.n_in; begin += slice) {
        const size_t n = std::min(slice, weights_.n_in - begin);
        const char* const at = rows + ggml_row_size(weights_.type, static_cast<int64_t>(begin));
        int16_t* const values = values_ + begin * width;
        float* const scales = scales_ + begin / fine_block * width;
        if (kernels_->pack_weights(weights_.type, at, weights_.stride, n_columns_, n, values, scales)) {
            continue;
        }
        for (size_t row = 0; row < n_columns_; ++row) {
            to_floats(*kernels_, weights_.type, at + row * weights_.stride, slice_rows_ + row * slice, n);
        }
        kernels_->pack_finely(slice_rows_, slice, n_columns_, n, values, scales);
    }
}

PackedView WeightPanel::view() const {
    return {weights_.n_in, weights_.n_in / fine_block, values_, scales_, bias_};
}

void WeightPanel::multiply(QuantizedRows rows, size_t n_rows, float* out, size_t stride) const {
    kernels_->multiply_finely(rows, n_rows, view(), 0, 1, Activation::none, out, stride);
}

void WeightPanel::multiply_to_apart(QuantizedRows rows, size_t n_rows) const {
    multiply(rows, n_rows, apart_, kernels_->panel_width);
}

} // namespace xlc
