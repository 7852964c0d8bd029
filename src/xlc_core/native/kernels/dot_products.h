// Rows of weights times few rows of activations. The memory decides how long that takes, so ggml's own
// products of two rows are used, and the weights are prefetched.
#pragma once

#include "kernels/weight_panel.h"

#include <ggml.h>

#include <cstddef>

namespace xlc {

// Activations as ggml's products want them.
struct DotRows {
    ggml_type type;
    size_t row_size;  // bytes
    const char* data; // [row][row_size]
};

// Return whether ggml multiplies rows of this type with rows of float32.
bool has_dot_product(ggml_type weight_type);

// Bytes of n_rows rows of activations for weights of a type, which are 0 if they need no conversion.
size_t dot_rows_size(ggml_type weight_type, size_t n_rows, size_t n_in);

// Return the rows that convert_to_dot_rows() writes to `memory`.
DotRows dot_rows(ggml_type weight_type, const float* activations, size_t n_in, const void* memory);

// Convert a thread's part of n_rows rows.
void convert_to_dot_rows(
    const float* activations,
    size_t n_rows,
    size_t n_in,
    const DotRows& rows,
    size_t thread,
    size_t n_threads);

// outs[i][r] = rows[i] · weights[r], for the weights' rows [begin, end).
void multiply_dot_rows(
    const WeightMatrix& weights,
    size_t begin,
    size_t end,
    const char* const* rows,
    float* const* outs,
    size_t n_rows);

} // namespace xlc
