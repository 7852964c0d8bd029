#include "overrides/ggml/few_rows.h"

#include "overrides/ggml/chunks.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cstddef>

namespace xlc {

namespace {

// With more rows, ggml's products of several rows are faster.
constexpr int64_t most_rows = 4;

// The processor itself prefetches within a page of memory and starts again at the next one. Measured with
// weights of 120 MB on a Xeon with AVX-512 (docs/encoders.md): from 4 KiB on it makes no difference.
constexpr size_t prefetched_bytes = 8192;
constexpr size_t cache_line = 64;

// Chunks of weights that a thread takes are about this large.
constexpr size_t chunk_bytes = 65536;

struct Product {
    const ggml_tensor* weights;
    const ggml_tensor* activations;
    ggml_type row_type; // which activations are converted to
    size_t row_size;
    const char* rows;
    int64_t n_rows;
    float* out;
};

bool has_few_rows(const ggml_tensor* product) {
    const ggml_tensor* const weights = product->src[0];
    const ggml_tensor* const activations = product->src[1];
    const ggml_type_traits_cpu* const traits = ggml_get_type_traits_cpu(weights->type);
    return ggml_nrows(activations) <= most_rows && weights->op == GGML_OP_NONE && !weights->extra &&
           ggml_is_matrix(weights) && ggml_is_contiguous(weights) && traits->vec_dot &&
           activations->type == GGML_TYPE_F32 && ggml_is_contiguous(activations) &&
           ggml_is_contiguous(product) && ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float;
}

void convert(const Product& product, const ggml_compute_params* params) {
    const ggml_from_float_t from_float = ggml_get_type_traits_cpu(product.row_type)->from_float;
    const int64_t n_in = product.weights->ne[0];
    const int64_t block = ggml_blck_size(product.row_type);
    const int64_t begin = n_in / block * params->ith / params->nth * block;
    const int64_t end = n_in / block * (params->ith + 1) / params->nth * block;
    for (int64_t row = 0; row < product.n_rows; ++row) {
        const auto* const from = static_cast<const float*>(product.activations->data) + row * n_in;
        char* const to = static_cast<char*>(params->wdata) + static_cast<size_t>(row) * product.row_size;
        from_float(from + begin, to + ggml_row_size(product.row_type, begin), end - begin);
    }
}

void multiply(const Product& product, int64_t begin, int64_t end) {
    const ggml_vec_dot_t dot = ggml_get_type_traits_cpu(product.weights->type)->vec_dot;
    const size_t stride = product.weights->nb[1];
    const int64_t n_out = product.weights->ne[1];
    const char* weights =
        static_cast<const char*>(product.weights->data) + static_cast<size_t>(begin) * stride;
    for (int64_t i = begin; i < end; ++i, weights += stride) {
        for (size_t ahead = 0; ahead < stride; ahead += cache_line) {
            __builtin_prefetch(weights + prefetched_bytes + ahead);
        }
        for (int64_t row = 0; row < product.n_rows; ++row) {
            dot(static_cast<int>(product.weights->ne[0]), product.out + row * n_out + i, 0, weights, 0,
                product.rows + static_cast<size_t>(row) * product.row_size, 0, 1);
        }
    }
}

} // namespace

bool multiply_few_rows(const ggml_compute_params* params, ggml_tensor* product) {
    if (params->use_ref || !has_few_rows(product)) {
        return false;
    }
    const ggml_tensor* const weights = product->src[0];
    const ggml_tensor* const activations = product->src[1];
    const ggml_type row_type = ggml_get_type_traits_cpu(weights->type)->vec_dot_type;
    const bool converts = row_type != activations->type;
    const Product all{
        weights,
        activations,
        row_type,
        ggml_row_size(row_type, weights->ne[0]),
        static_cast<const char*>(converts ? params->wdata : activations->data),
        ggml_nrows(activations),
        static_cast<float*>(product->data)};
    if (converts) {
        convert(all, params);
    }
    const int64_t n_out = weights->ne[1];
    const auto in_chunk = std::max<int64_t>(1, static_cast<int64_t>(chunk_bytes / weights->nb[1]));
    const int64_t length = std::min(in_chunk, (n_out + params->nth - 1) / params->nth);
    share_chunks(params, static_cast<size_t>((n_out + length - 1) / length), [&](size_t chunk) {
        const int64_t begin = static_cast<int64_t>(chunk) * length;
        multiply(all, begin, std::min(n_out, begin + length));
    });
    return true;
}

} // namespace xlc
