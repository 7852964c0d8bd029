#include "retrieval/pooling.h"

#include <algorithm>
#include <cmath>

namespace xlc {

void Pooler::add(size_t first, const float* rows, size_t n_rows, size_t stride) {
    n_added_ += n_rows;
    switch (type_) {
    case LLAMA_POOLING_TYPE_CLS:
        if (first == 0) {
            std::copy_n(rows, n_dims_, out_);
        }
        break;
    case LLAMA_POOLING_TYPE_LAST: // a later run overwrites
        std::copy_n(rows + (n_rows - 1) * stride, n_dims_, out_);
        break;
    default: // mean
        for (size_t row = 0; row < n_rows; ++row) {
            const float* values = rows + row * stride;
            for (size_t i = 0; i < n_dims_; ++i) {
                out_[i] += values[i];
            }
        }
    }
}

void Pooler::finish() {
    if (type_ == LLAMA_POOLING_TYPE_CLS || type_ == LLAMA_POOLING_TYPE_LAST) {
        return;
    }
    const float scale = 1.0F / static_cast<float>(std::max<size_t>(n_added_, 1));
    for (size_t i = 0; i < n_dims_; ++i) {
        out_[i] *= scale;
    }
}

bool normalize(float* vector, size_t n_dims) {
    double sum = 0.0;
    for (size_t i = 0; i < n_dims; ++i) {
        sum += static_cast<double>(vector[i]) * vector[i];
    }
    if (!std::isfinite(sum)) {
        return false;
    }
    const float scale = sum > 0.0 ? static_cast<float>(1.0 / std::sqrt(sum)) : 0.0F;
    for (size_t i = 0; i < n_dims; ++i) {
        vector[i] *= scale;
    }
    return true;
}

bool is_finite(const float* vector, size_t n_dims) {
    return std::all_of(vector, vector + n_dims, [](float value) { return std::isfinite(value); });
}

} // namespace xlc
