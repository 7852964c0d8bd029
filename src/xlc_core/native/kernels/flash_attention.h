// Flash attention for llama.cpp's graphs: queries of a batch to keys and values of the cache. The query heads
// that share a key's head are computed together, so that keys and values are read once for all of them.
#pragma once

#include "kernels/kernels.h"

#include <cstddef>
#include <cstdint>

struct ggml_tensor;

namespace xlc {

class KeyBlock;

class FlashAttention {
public:
    // Return this processor's kernels if they can compute this node of a graph, else nullptr.
    static const Kernels* kernels_for(const ggml_tensor* node);

    // Bytes that `workspace` must have. With more, few rows are computed by more threads. What ggml plans for
    // its own flash attention is enough for all but the smallest heads.
    static size_t workspace_size(const ggml_tensor* node, size_t n_threads);

    FlashAttention(
        const Kernels& kernels,
        const ggml_tensor* node,
        void* workspace,
        size_t workspace_size,
        size_t n_threads);

    // n_chunks() parts can be computed in any order, by any thread. When all are, and if n_parts() is more
    // than 1, each thread combines its share of the rows.
    size_t n_chunks() const { return n_groups_ * n_tiles_ * n_parts_; }
    size_t n_parts() const { return n_parts_; }
    void attend(size_t chunk, size_t thread) const;
    void combine(size_t thread) const;

private:
    struct Scratch;
    // Some rows that share a key's head.
    struct Tile {
        size_t stream;
        size_t head; // of keys
        size_t first;
        size_t n;
    };

    size_t scratch_size() const;
    Scratch scratch(size_t thread) const;
    const uint16_t* mask_of(const Tile& tile, size_t row) const;
    float slope_of(size_t query_head) const;
    float* out_of(size_t stream, size_t head, size_t row) const;
    float* partial_of(size_t stream, size_t head, size_t row, size_t part) const;
    size_t query_head(size_t head, size_t row) const { return head * n_sharing_ + row % n_sharing_; }

    void read_queries(const Tile& tile, const Scratch& scratch) const;
    void attend_to_span(const Tile& tile, size_t key, size_t n_keys, const Scratch& scratch) const;
    void
    attend_to_block(const Tile& rows, size_t offset, const KeyBlock& block, const Scratch& scratch) const;
    void write(const Tile& tile, size_t part, const Scratch& scratch) const;

    const Kernels* kernels_;
    const ggml_tensor* node_;
    const ggml_tensor* queries_;
    const ggml_tensor* keys_;
    const ggml_tensor* values_;
    const ggml_tensor* mask_;  // or nullptr
    const ggml_tensor* sinks_; // or nullptr
    float scale_;
    float max_bias_;
    float softcap_;
    size_t key_width_;
    size_t value_width_;
    size_t n_keys_;
    size_t n_sharing_; // query heads of a key's head
    size_t n_rows_;    // of such a group, tokens times heads
    size_t n_groups_;
    size_t n_tiles_; // of a group
    size_t n_parts_ = 1;
    size_t part_length_;
    size_t n_threads_;
    char* scratches_;
    float* partials_;
};

} // namespace xlc
