#include "kernels/weight_product.h"

#include "kernels/aligned.h"
#include "kernels/to_floats.h"

#include <ggml.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace xlc {

namespace {

// With fewer rows than this, ggml is faster, because each panel is converted for them. 0: always.
int64_t fewest_rows(ggml_type type) {
    switch (type) {
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
        return 32;
    default:
        return ggml_is_quantized(type) ? 64 : 0;
    }
}

// Weights are converted in slices of this many inputs; every block of a ggml type divides it.
constexpr size_t slice = 256;

// Parts of the activations are no smaller than this.
constexpr size_t fewest_rows_of_part = 64;

// Rows of the last panel's result, which may have more columns than the matrix has rows.
constexpr size_t n_last_rows = 64;

size_t values_size(size_t n_rows, size_t n_in) {
    return aligned(n_rows * n_in * sizeof(int16_t));
}

size_t scales_size(size_t n_rows, size_t n_in) {
    return aligned(n_rows * (n_in / fine_block) * sizeof(float));
}

} // namespace

struct WeightProduct::Scratch {
    int16_t* values;
    float* scales;
    float* slice_rows; // [panel_width][slice]
    float* bias;       // zeros
    float* last;       // [n_last_rows][panel_width]

    static size_t size(size_t width, size_t n_in) {
        return values_size(width, n_in) + scales_size(width, n_in) +
               aligned((slice + 1 + n_last_rows) * width * sizeof(float));
    }
};

const EncoderKernels* WeightProduct::kernels_for(const ggml_tensor* node) {
    static const EncoderKernels* const best = best_encoder_kernels();
    if (!best || node->op != GGML_OP_MUL_MAT) {
        return nullptr;
    }
    const ggml_tensor* const weights = node->src[0];
    const ggml_tensor* const activations = node->src[1];
    const int64_t fewest = fewest_rows(weights->type);
    // Keys and values have an operation, because the graph computes them. Weights in a layout of ggml's own
    // have an extra.
    const bool is_faster = fewest > 0 && ggml_nrows(activations) >= fewest && weights->op == GGML_OP_NONE &&
                           !weights->extra && ggml_is_matrix(weights) && ggml_is_contiguous(weights) &&
                           weights->ne[0] % static_cast<int64_t>(fine_block) == 0 &&
                           weights->ne[1] >= static_cast<int64_t>(best->panel_width) &&
                           activations->type == GGML_TYPE_F32 && ggml_is_contiguous(activations) &&
                           ggml_is_contiguous(node);
    return is_faster ? best : nullptr;
}

size_t
WeightProduct::workspace_size(const EncoderKernels& kernels, const ggml_tensor* product, size_t n_threads) {
    const auto n_in = static_cast<size_t>(product->src[0]->ne[0]);
    const auto n_rows = static_cast<size_t>(ggml_nrows(product->src[1]));
    return alignment + values_size(n_rows, n_in) + scales_size(n_rows, n_in) +
           n_threads * Scratch::size(kernels.panel_width, n_in);
}

WeightProduct::WeightProduct(
    const EncoderKernels& kernels, const ggml_tensor* product, void* workspace, size_t n_threads)
    : kernels_(&kernels), weights_(product->src[0]), activations_(product->src[1]),
      out_(static_cast<float*>(product->data)), n_in_(static_cast<size_t>(weights_->ne[0])),
      n_out_(static_cast<size_t>(weights_->ne[1])), n_rows_(static_cast<size_t>(ggml_nrows(activations_))),
      n_threads_(n_threads), n_panels_((n_out_ + kernels.panel_width - 1) / kernels.panel_width) {
    // Some chunks for each thread, so that none waits long for the last one. A panel is converted for each
    // part.
    const size_t n_wanted = (4 * n_threads + n_panels_ - 1) / n_panels_;
    const size_t n_most = std::max<size_t>(1, n_rows_ / fewest_rows_of_part);
    n_row_parts_ = std::min(n_wanted, n_most);
    char* at = aligned(static_cast<char*>(workspace));
    rows_.values = reinterpret_cast<int16_t*>(at);
    at += values_size(n_rows_, n_in_);
    rows_.scales = reinterpret_cast<float*>(at);
    scratches_ = at + scales_size(n_rows_, n_in_);
}

WeightProduct::Scratch WeightProduct::scratch(size_t thread) const {
    const size_t width = kernels_->panel_width;
    char* at = scratches_ + thread * Scratch::size(width, n_in_);
    Scratch found{};
    found.values = reinterpret_cast<int16_t*>(at);
    at += values_size(width, n_in_);
    found.scales = reinterpret_cast<float*>(at);
    at += scales_size(width, n_in_);
    found.slice_rows = reinterpret_cast<float*>(at);
    found.bias = found.slice_rows + slice * width;
    found.last = found.bias + width;
    return found;
}

void WeightProduct::convert(size_t thread) const {
    const size_t begin = n_rows_ * thread / n_threads_;
    const size_t end = n_rows_ * (thread + 1) / n_threads_;
    kernels_->quantize_finely(
        static_cast<const float*>(activations_->data) + begin * n_in_, n_in_, end - begin, n_in_, n_in_,
        {rows_.values + begin * n_in_, rows_.scales + begin * (n_in_ / fine_block)});
}

void WeightProduct::pack(size_t panel, const Scratch& scratch) const {
    const size_t width = kernels_->panel_width;
    const size_t first = panel * width;
    const size_t n_rows = std::min(width, n_out_ - first);
    for (size_t begin = 0; begin < n_in_; begin += slice) {
        const size_t n = std::min(slice, n_in_ - begin);
        const size_t offset = ggml_row_size(weights_->type, static_cast<int64_t>(begin));
        for (size_t row = 0; row < n_rows; ++row) {
            const char* const bytes =
                static_cast<const char*>(weights_->data) + (first + row) * weights_->nb[1];
            to_floats(weights_->type, bytes + offset, scratch.slice_rows + row * slice, n);
        }
        kernels_->pack_finely(
            scratch.slice_rows, slice, n_rows, n, scratch.values + begin * width,
            scratch.scales + begin / fine_block * width);
    }
}

void WeightProduct::multiply(size_t chunk, size_t thread) const {
    const size_t width = kernels_->panel_width;
    const size_t n_blocks = n_in_ / fine_block;
    const size_t panel = chunk % n_panels_;
    const size_t part = chunk / n_panels_;
    const size_t begin = n_rows_ * part / n_row_parts_;
    const size_t end = n_rows_ * (part + 1) / n_row_parts_;
    const Scratch mine = scratch(thread);
    pack(panel, mine);
    std::memset(mine.bias, 0, width * sizeof(float));
    const PackedView view{n_in_, n_blocks, mine.values, mine.scales, mine.bias};
    const auto rows_from = [&](size_t row) {
        return QuantizedRows{rows_.values + row * n_in_, rows_.scales + row * n_blocks};
    };
    float* const out = out_ + panel * width;
    const size_t n_columns = std::min(width, n_out_ - panel * width);
    if (n_columns == width) {
        kernels_->multiply_finely(
            rows_from(begin), end - begin, view, 0, 1, Activation::none, out + begin * n_out_, n_out_);
        return;
    }
    for (size_t row = begin; row < end; row += n_last_rows) {
        const size_t n = std::min(n_last_rows, end - row);
        kernels_->multiply_finely(rows_from(row), n, view, 0, 1, Activation::none, mine.last, width);
        for (size_t i = 0; i < n; ++i) {
            std::memcpy(out + (row + i) * n_out_, mine.last + i * width, n_columns * sizeof(float));
        }
    }
}

} // namespace xlc
