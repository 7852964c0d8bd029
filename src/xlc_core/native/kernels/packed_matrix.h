// A weight matrix as the encoder kernels multiply by it.
#pragma once

#include "kernels/kernels.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct ggml_tensor;

namespace xlc {

// A row of a tensor in host memory, of any type that ggml can read, as float32.
void read_row(const ggml_tensor* tensor, int64_t row, float* out);

// All of a tensor's numbers, such as a bias.
std::vector<float> read_values(const ggml_tensor* tensor);

// 16-bit integers with a scale for each row and block of inputs (see kernels.h), in panels of the kernels'
// width.
class PackedMatrix {
public:
    // The rows of several tensors below each other, all with as many inputs, and their biases, where nullptr
    // is 0.
    PackedMatrix(
        const std::vector<const ggml_tensor*>& weights,
        const std::vector<const ggml_tensor*>& biases,
        size_t panel_width);

    size_t n_out() const { return n_out_; }
    size_t n_panels() const { return n_panels_; }
    // Columns of the product, the last panel's unused ones included.
    size_t n_padded_out() const { return n_panels_ * panel_width_; }
    size_t n_bytes() const;
    const PackedView& view() const { return view_; }

private:
    void pack_row(const std::vector<float>& row, size_t index);

    size_t panel_width_;
    size_t n_out_ = 0;
    size_t n_panels_ = 0;
    std::vector<int16_t> values_;
    std::vector<float> scales_;
    std::vector<float> bias_;
    PackedView view_{};
};

} // namespace xlc
