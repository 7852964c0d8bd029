// A weight matrix in the layout that the encoder kernels need.
#pragma once

#include "kernels/kernels.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct ggml_tensor;

namespace xlc {

// Convert a row of a tensor in host memory to float32. The tensor has any type that ggml can read.
void read_row(const ggml_tensor* tensor, int64_t row, float* out);

// Return all numbers of a tensor, such as a bias.
std::vector<float> read_values(const ggml_tensor* tensor);

// 16-bit integers with a scale for each row and block of inputs (see kernels.h), in panels as wide as the
// kernels need.
class PackedMatrix {
public:
    // Stack the rows of several tensors with the same number of inputs. A bias of nullptr is 0.
    PackedMatrix(
        const std::vector<const ggml_tensor*>& weights,
        const std::vector<const ggml_tensor*>& biases,
        size_t panel_width);

    size_t n_out() const { return n_out_; }
    size_t n_panels() const { return n_panels_; }
    // Columns of the product, with the unused ones of the last panel.
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
