// The keys of a cache that rows see, in blocks for the kernels of flash attention.
#pragma once

#include "kernels/kernels.h"

#include <array>
#include <cstddef>
#include <cstdint>

struct ggml_tensor;

namespace xlc {

constexpr size_t most_lanes = 16; // numbers of the widest vector

// The row of a tensor with these indices.
const char* row_at(const ggml_tensor* tensor, size_t i1, size_t i2, size_t i3);

// The rows of one head of keys, or of values.
struct HeadRows {
    const ggml_tensor* tensor;
    size_t head;
    size_t stream;
};

// Keys that are computed together, by their places.
class KeyBlock {
public:
    void add(size_t place) { places_[n_++] = place; }
    void clear() { n_ = 0; }
    size_t n() const { return n_; }

    // Return a mask of these keys. `to` has room for key_block numbers, and may be used. Without a mask, the
    // result may be nullptr.
    const uint16_t* gather(const uint16_t* mask, uint16_t* to) const;

    // to[i][key] = the key's number i. `rows` has room for most_lanes rows of `width` numbers.
    void
    read_transposed(const Kernels& kernels, const HeadRows& keys, float* rows, size_t width, float* to) const;

    // to[key][i], with rows of `width` numbers. What is left is filled with zeros.
    void read(const Kernels& kernels, const HeadRows& values, float* to, size_t width) const;

private:
    bool is_whole_run() const { return n_ == key_block && places_[n_ - 1] - places_[0] == n_ - 1; }

    std::array<size_t, key_block> places_;
    size_t n_ = 0;
};

// Keys whose masks are looked at together.
constexpr size_t key_span = 2048;

// The keys of a span that a row sees.
class SeenKeys {
public:
    // `mask`: of the span's n_keys keys; nullptr: all are seen.
    void find(const Kernels& kernels, const uint16_t* mask, size_t n_keys);
    void add(const SeenKeys& others);
    size_t n() const;

    // Call use(block) for all of them. `first`: the place of the span's first key.
    template<typename Use> void for_each_block(size_t first, const Use& use) const {
        KeyBlock block;
        size_t n_left = n();
        for (size_t key = 0; n_left > 0; ++key) {
            if ((words_[key / word_bits] >> (key % word_bits) & 1) == 0) {
                continue;
            }
            block.add(first + key);
            --n_left;
            if (block.n() == key_block || n_left == 0) {
                use(block);
                block.clear();
            }
        }
    }

private:
    static constexpr size_t word_bits = 32;

    std::array<uint32_t, key_span / word_bits> words_{}; // a bit for each key
};

} // namespace xlc
