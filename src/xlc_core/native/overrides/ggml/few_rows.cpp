#include "overrides/ggml/few_rows.h"

#include "kernels/dot_products.h"
#include "overrides/ggml/chunks.h"

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace xlc {

namespace {

// With more rows, ggml's products of several rows are faster.
constexpr size_t most_rows = 4;

// Chunks of weights that a thread takes are about this large.
constexpr size_t chunk_bytes = 65536;

bool has_few_rows(const ggml_tensor* product) {
    const ggml_tensor* const weights = product->src[0];
    return ggml_nrows(product->src[1]) <= static_cast<int64_t>(most_rows) &&
           multiplies_file_weights(product) && ggml_is_matrix(weights) && has_dot_product(weights->type);
}

} // namespace

bool multiply_few_rows(const ggml_compute_params* params, ggml_tensor* product) {
    if (params->use_ref || !has_few_rows(product)) {
        return false;
    }
    const WeightMatrix weights = weight_matrix(product->src[0], 0);
    const auto* const activations = static_cast<const float*>(product->src[1]->data);
    const auto n_rows = static_cast<size_t>(ggml_nrows(product->src[1]));
    const auto n_threads = static_cast<size_t>(params->nth);
    const DotRows converted = dot_rows(weights.type, activations, weights.n_in, params->wdata);
    convert_to_dot_rows(
        activations, n_rows, weights.n_in, converted, static_cast<size_t>(params->ith), n_threads);
    std::array<const char*, most_rows> rows{};
    std::array<float*, most_rows> outs{};
    for (size_t row = 0; row < n_rows; ++row) {
        rows[row] = converted.data + row * converted.row_size;
        outs[row] = static_cast<float*>(product->data) + row * weights.n_out;
    }
    const size_t in_chunk = std::max<size_t>(1, chunk_bytes / weights.stride);
    const size_t length = std::min(in_chunk, (weights.n_out + n_threads - 1) / n_threads);
    share_chunks(params, (weights.n_out + length - 1) / length, [&](size_t chunk) {
        const size_t begin = chunk * length;
        const size_t end = std::min(weights.n_out, begin + length);
        multiply_dot_rows(weights, begin, end, rows.data(), outs.data(), n_rows);
    });
    return true;
}

} // namespace xlc
