#include "kernels/key_block.h"

#include "kernels/to_floats.h"

#include <ggml.h>

#include <algorithm>
#include <bitset>

namespace xlc {

namespace {

constexpr uint16_t half_minus_infinity = 0xFC00;

// float16 in whole vectors is read by the kernels, everything else by ggml, row by row.
bool are_whole_halves(const ggml_tensor* tensor) {
    return tensor->type == GGML_TYPE_F16 && tensor->ne[0] % static_cast<int64_t>(most_lanes) == 0 &&
           tensor->nb[1] % sizeof(uint16_t) == 0;
}

const uint16_t* halves_at(const HeadRows& rows, size_t place) {
    return reinterpret_cast<const uint16_t*>(row_at(rows.tensor, place, rows.head, rows.stream));
}

void read_row(const Kernels& kernels, const HeadRows& rows, size_t place, float* to) {
    to_floats(
        kernels, rows.tensor->type, row_at(rows.tensor, place, rows.head, rows.stream), to,
        static_cast<size_t>(rows.tensor->ne[0]));
}

} // namespace

const char* row_at(const ggml_tensor* tensor, size_t i1, size_t i2, size_t i3) {
    return static_cast<const char*>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2] +
           i3 * tensor->nb[3];
}

const uint16_t* KeyBlock::gather(const uint16_t* mask, uint16_t* to) const {
    if (is_whole_run()) {
        return mask ? mask + places_[0] : nullptr;
    }
    for (size_t i = 0; i < n_; ++i) {
        to[i] = mask ? mask[places_[i]] : uint16_t{0};
    }
    std::fill(to + n_, to + key_block, half_minus_infinity);
    return to;
}

void KeyBlock::read_transposed(
    const Kernels& kernels, const HeadRows& keys, float* rows, size_t width, float* to) const {
    const size_t n_lanes = kernels.vector_width;
    const auto n_dims = static_cast<size_t>(keys.tensor->ne[0]);
    const bool halves = are_whole_halves(keys.tensor);
    for (size_t first = 0; first < key_block; first += n_lanes) {
        if (halves && first + n_lanes <= n_) {
            std::array<const uint16_t*, most_lanes> from{};
            for (size_t i = 0; i < n_lanes; ++i) {
                from[i] = halves_at(keys, places_[first + i]);
            }
            kernels.transpose_halves(from.data(), n_dims, to + first, key_block);
            continue;
        }
        for (size_t i = 0; i < n_lanes; ++i) {
            float* const row = rows + i * width;
            if (first + i < n_) {
                read_row(kernels, keys, places_[first + i], row);
            } else {
                std::fill_n(row, n_dims, 0.0F);
            }
        }
        kernels.transpose(rows, width, n_dims, to + first, key_block);
    }
}

void KeyBlock::read(const Kernels& kernels, const HeadRows& values, float* to, size_t width) const {
    const auto n_dims = static_cast<size_t>(values.tensor->ne[0]);
    if (are_whole_halves(values.tensor)) {
        std::array<const uint16_t*, key_block> from{};
        for (size_t i = 0; i < n_; ++i) {
            from[i] = halves_at(values, places_[i]);
        }
        kernels.halves_to_floats(from.data(), n_, n_dims, to, width);
    } else {
        for (size_t i = 0; i < n_; ++i) {
            float* const row = to + i * width;
            read_row(kernels, values, places_[i], row);
            std::fill(row + n_dims, row + width, 0.0F);
        }
    }
    std::fill(to + n_ * width, to + key_block * width, 0.0F);
}

void SeenKeys::find(const Kernels& kernels, const uint16_t* mask, size_t n_keys) {
    const size_t n_whole = mask ? n_keys / word_bits * word_bits : 0;
    if (mask) {
        kernels.find_visible(mask, n_whole, words_.data());
    }
    for (size_t key = n_whole; key < n_keys; ++key) {
        if (!mask || mask[key] != half_minus_infinity) {
            words_[key / word_bits] |= uint32_t{1} << (key % word_bits);
        }
    }
}

void SeenKeys::add(const SeenKeys& others) {
    for (size_t word = 0; word < words_.size(); ++word) {
        words_[word] |= others.words_[word];
    }
}

size_t SeenKeys::n() const {
    size_t n = 0;
    for (const uint32_t word : words_) {
        n += std::bitset<word_bits>(word).count();
    }
    return n;
}

} // namespace xlc
