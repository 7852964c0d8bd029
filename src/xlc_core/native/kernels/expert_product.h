// Matrices of a mixture of experts times the rows that are routed to each, for llama.cpp's graphs. The
// weights stay in memory as they are in the file.
#pragma once

#include "kernels/dot_products.h"
#include "kernels/kernels.h"
#include "kernels/weight_panel.h"

#include <cstddef>
#include <cstdint>

struct ggml_tensor;

namespace xlc {

class ExpertProduct {
public:
    // Return this processor's kernels if they compute this node of a graph, else nullptr.
    static const Kernels* kernels_for(const ggml_tensor* node);

    // Bytes that `workspace` must have.
    static size_t workspace_size(const Kernels& kernels, const ggml_tensor* product, size_t n_threads);

    // Without `rounds_by_batch`, which products of most_rows_of_step tokens need, each row is rounded as if
    // it were the only one (support/batch_rounding.h).
    ExpertProduct(
        const Kernels& kernels,
        const ggml_tensor* product,
        void* workspace,
        size_t n_threads,
        bool rounds_by_batch);

    // First one thread sorts the rows by their experts. Then each thread converts its part of the
    // activations. When all have, n_chunks() parts of the result can be computed in any order, by any thread.
    void sort() const;
    void convert(size_t thread) const;
    size_t n_chunks() const { return static_cast<size_t>(*n_called_) * n_panels_; }
    void multiply(size_t chunk, size_t thread) const;

private:
    // Where a row comes from and where its result goes.
    struct Routed {
        int32_t token;
        int32_t slot; // which of the token's experts
    };

    size_t expert_of(size_t token, size_t slot) const;
    size_t n_rows_of(size_t expert) const;
    bool has_many_rows(size_t expert) const { return n_rows_of(expert) >= fewest_; }
    float* result_of(size_t row) const;
    void quantize_token(size_t token) const;
    void multiply_few(const WeightMatrix& weights, size_t expert, size_t panel) const;

    const Kernels* kernels_;
    const ggml_tensor* product_;
    const float* activations_;
    size_t n_in_;
    size_t n_experts_;
    size_t n_slots_;
    size_t n_sources_; // rows of activations of a token: one, or one for each slot
    size_t n_tokens_;
    size_t n_threads_;
    size_t n_panels_;
    size_t fewest_;

    // In the workspace. The rows of an expert begin where those of the one before it end.
    int32_t* n_called_;    // experts that have rows
    int32_t* n_few_;       // those of them that have few
    int32_t* called_;      // [n_called]
    int32_t* ends_;        // [1 + n_experts], the first is 0
    Routed* routed_;       // [n_tokens · n_slots], sorted by experts
    int32_t* places_;      // [token][slot] where it is in routed_
    QuantizedRows rows_{}; // [n_tokens · n_slots], set where an expert has many rows
    DotRows dot_rows_{};   // [token][source], set if an expert has few rows
    char* panels_;         // memory of each thread's panel
    size_t end_ = 0;       // of the workspace
};

} // namespace xlc
