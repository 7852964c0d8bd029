// A matrix of weights times many rows of activations, for llama.cpp's graphs. The weights stay in memory as
// they are in the file. Each panel of their rows becomes 16-bit integers right before all activations are
// multiplied with it.
#pragma once

#include "kernels/kernels.h"
#include "kernels/weight_panel.h"

#include <cstddef>

struct ggml_tensor;

namespace xlc {

class WeightProduct {
public:
    // Return this processor's kernels if they compute this node of a graph faster than ggml does, else
    // nullptr.
    static const Kernels* kernels_for(const ggml_tensor* node);
    // The same, if these threads may take them (support/batch_rounding.h).
    static const Kernels* kernels_for(const ggml_tensor* node, const void* threads);

    // Bytes that `workspace` must have.
    static size_t workspace_size(const Kernels& kernels, const ggml_tensor* product, size_t n_threads);

    WeightProduct(const Kernels& kernels, const ggml_tensor* product, void* workspace, size_t n_threads);

    // First each thread converts its part of the activations. When all have, n_chunks() parts of the result
    // can be computed in any order, by any thread.
    void convert(size_t thread) const;
    size_t n_chunks() const { return n_panels_ * n_row_parts_; }
    void multiply(size_t chunk, size_t thread) const;

private:
    const Kernels* kernels_;
    WeightMatrix weights_;
    const float* activations_;
    float* out_;
    size_t n_rows_;
    size_t n_threads_;
    size_t n_panels_;
    size_t n_row_parts_;
    QuantizedRows rows_{};
    char* panels_; // memory of each thread's panel
};

} // namespace xlc
