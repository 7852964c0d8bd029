#include "kernels/packed_matrix.h"

#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace xlc {

void read_row(const ggml_tensor* tensor, int64_t row, float* out) {
    const char* const bytes =
        static_cast<const char*>(tensor->data) + static_cast<size_t>(row) * tensor->nb[1];
    if (tensor->type == GGML_TYPE_F32) {
        std::memcpy(out, bytes, static_cast<size_t>(tensor->ne[0]) * sizeof(float));
    } else {
        ggml_get_type_traits(tensor->type)->to_float(bytes, out, tensor->ne[0]);
    }
}

std::vector<float> read_values(const ggml_tensor* tensor) {
    std::vector<float> values(static_cast<size_t>(ggml_nelements(tensor)));
    for (int64_t row = 0; row < ggml_nrows(tensor); ++row) {
        read_row(tensor, row, values.data() + row * tensor->ne[0]);
    }
    return values;
}

PackedMatrix::PackedMatrix(
    const std::vector<const ggml_tensor*>& weights,
    const std::vector<const ggml_tensor*>& biases,
    size_t panel_width)
    : panel_width_(panel_width) {
    const auto n_in = static_cast<size_t>(weights.front()->ne[0]);
    for (const ggml_tensor* tensor : weights) {
        n_out_ += static_cast<size_t>(tensor->ne[1]);
    }
    n_panels_ = (n_out_ + panel_width - 1) / panel_width;
    view_.n_in = (n_in + row_padding - 1) / row_padding * row_padding;
    view_.n_blocks = (view_.n_in + scale_block - 1) / scale_block;
    values_.resize(n_padded_out() * view_.n_in);
    scales_.resize(n_padded_out() * view_.n_blocks);
    bias_.resize(n_padded_out());

    std::vector<float> row(view_.n_in);
    size_t index = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
        if (biases[i]) {
            const std::vector<float> bias = read_values(biases[i]);
            std::copy(bias.begin(), bias.end(), bias_.begin() + static_cast<std::ptrdiff_t>(index));
        }
        for (int64_t r = 0; r < weights[i]->ne[1]; ++r) {
            read_row(weights[i], r, row.data());
            pack_row(row, index++);
        }
    }
    view_.values = values_.data();
    view_.scales = scales_.data();
    view_.bias = bias_.data();
}

void PackedMatrix::pack_row(const std::vector<float>& row, size_t index) {
    const size_t panel = index / panel_width_;
    const size_t column = index % panel_width_;
    int16_t* const values = values_.data() + panel * panel_width_ * view_.n_in;
    float* const scales = scales_.data() + panel * panel_width_ * view_.n_blocks;
    for (size_t begin = 0; begin < view_.n_in; begin += scale_block) {
        const size_t end = std::min(begin + scale_block, view_.n_in);
        float top = 0.0F;
        for (size_t i = begin; i < end; ++i) {
            top = std::max(top, std::fabs(row[i]));
        }
        scales[begin / scale_block * panel_width_ + column] = top / static_cast<float>(weight_max);
        const float scale = top > 0.0F ? static_cast<float>(weight_max) / top : 0.0F;
        for (size_t i = begin; i < end; ++i) {
            values[i / 2 * 2 * panel_width_ + column * 2 + i % 2] =
                static_cast<int16_t>(std::lrint(row[i] * scale));
        }
    }
}

size_t PackedMatrix::n_bytes() const {
    return values_.size() * sizeof(int16_t) + (scales_.size() + bias_.size()) * sizeof(float);
}

} // namespace xlc
