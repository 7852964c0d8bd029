// A panel of a matrix of weights, which stays in memory as it is in the file: its rows become 16-bit integers
// right before activations are multiplied with it.
#pragma once

#include "kernels/kernels.h"

#include <ggml.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace xlc {

// Weights in the layout of ggml's types.
struct WeightMatrix {
    ggml_type type;
    const char* data;
    size_t stride; // bytes from row to row
    size_t n_in;
    size_t n_out;
};

// Return whether a product's weights are those of the file, and all its operands lie in memory without gaps.
// Keys and values have an operation, because the graph computes them. Weights in a layout of ggml's own have
// an extra.
bool multiplies_file_weights(const ggml_tensor* product);

// Return a matrix of a tensor [matrix][n_out][n_in].
WeightMatrix weight_matrix(const ggml_tensor* tensor, size_t matrix);

// Bytes of n_rows quantised rows of activations. Both are multiples of the alignment.
size_t quantized_values_size(size_t n_rows, size_t n_in);
size_t quantized_scales_size(size_t n_rows, size_t n_in);

// Return the rows from this one on.
inline QuantizedRows rows_from(const QuantizedRows& rows, size_t row, size_t n_in) {
    return {rows.values + row * n_in, rows.scales + row * (n_in / fine_block)};
}

class WeightPanel {
public:
    // Bytes that `memory` must have, which is aligned.
    static size_t memory_size(const Kernels& kernels, size_t n_in);

    WeightPanel(const Kernels& kernels, const WeightMatrix& weights, size_t panel, char* memory);

    // Whether the panel has as many columns as the kernels compute together.
    bool is_full() const { return n_columns_ == kernels_->panel_width; }

    // The panel must be full. out points to its first column.
    void multiply(QuantizedRows rows, size_t n_rows, float* out, size_t stride) const;

    // row_at(i) returns where the panel's columns of row i are written.
    template<typename RowAt>
    void multiply_apart(const QuantizedRows& rows, size_t n_rows, const RowAt& row_at) const {
        for (size_t begin = 0; begin < n_rows; begin += n_apart) {
            const size_t n = std::min(n_apart, n_rows - begin);
            multiply_to_apart(rows_from(rows, begin, weights_.n_in), n);
            for (size_t i = 0; i < n; ++i) {
                std::memcpy(
                    row_at(begin + i), apart_ + i * kernels_->panel_width, n_columns_ * sizeof(float));
            }
        }
    }

private:
    // Rows of results that are kept apart at once.
    static constexpr size_t n_apart = 64;

    void pack(size_t first);
    void multiply_to_apart(QuantizedRows rows, size_t n_rows) const;
    PackedView view() const;

    const Kernels* kernels_;
    WeightMatrix weights_;
    size_t n_columns_;
    int16_t* values_;
    float* scales_;
    float* slice_rows_; // [panel_width][slice]
    float* bias_;       // zeros
    float* apart_;      // [n_apart][panel_width]
};

} // namespace xlc
