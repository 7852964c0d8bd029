#include "kernels/dot_products.h"

#include "support/cpu_traits.h"

#include <cstdint>

namespace xlc {

namespace {

// The processor itself prefetches within a page of memory and starts again at the next one. Measured with
// weights of 120 MB on a Xeon with AVX-512 (docs/encoders.md): from 4 KiB on it makes no difference.
constexpr size_t prefetched_bytes = 8192;
constexpr size_t cache_line = 64;

ggml_type dot_type(ggml_type weight_type) {
    return cpu_traits(weight_type)->vec_dot_type;
}

} // namespace

bool has_dot_product(ggml_type weight_type) {
    return cpu_traits(weight_type)->vec_dot && cpu_traits(dot_type(weight_type))->from_float;
}

size_t dot_rows_size(ggml_type weight_type, size_t n_rows, size_t n_in) {
    const ggml_type type = dot_type(weight_type);
    return type == GGML_TYPE_F32 ? 0 : n_rows * ggml_row_size(type, static_cast<int64_t>(n_in));
}

DotRows dot_rows(ggml_type weight_type, const float* activations, size_t n_in, const void* memory) {
    const ggml_type type = dot_type(weight_type);
    const void* const data = type == GGML_TYPE_F32 ? activations : memory;
    return {type, ggml_row_size(type, static_cast<int64_t>(n_in)), static_cast<const char*>(data)};
}

void convert_to_dot_rows(
    const float* activations,
    size_t n_rows,
    size_t n_in,
    const DotRows& rows,
    size_t thread,
    size_t n_threads) {
    if (rows.type == GGML_TYPE_F32) {
        return;
    }
    const ggml_from_float_t from_float = cpu_traits(rows.type)->from_float;
    const auto block = static_cast<size_t>(ggml_blck_size(rows.type));
    const size_t begin = n_in / block * thread / n_threads * block;
    const size_t end = n_in / block * (thread + 1) / n_threads * block;
    const size_t offset = ggml_row_size(rows.type, static_cast<int64_t>(begin));
    for (size_t row = 0; row < n_rows; ++row) {
        char* const to = const_cast<char*>(rows.data) + row * rows.row_size + offset;
        from_float(activations + row * n_in + begin, to, static_cast<int64_t>(end - begin));
    }
}

void multiply_dot_rows(
    const WeightMatrix& weights,
    size_t begin,
    size_t end,
    const char* const* rows,
    float* const* outs,
    size_t n_rows) {
    const ggml_vec_dot_t dot = cpu_traits(weights.type)->vec_dot;
    const char* at = weights.data + begin * weights.stride;
    for (size_t i = begin; i < end; ++i, at += weights.stride) {
        for (size_t ahead = 0; ahead < weights.stride; ahead += cache_line) {
            __builtin_prefetch(at + prefetched_bytes + ahead);
        }
        for (size_t row = 0; row < n_rows; ++row) {
            dot(static_cast<int>(weights.n_in), outs[row] + i, 0, at, 0, rows[row], 0, 1);
        }
    }
}

} // namespace xlc
