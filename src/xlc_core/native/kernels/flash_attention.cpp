#include "kernels/flash_attention.h"

#include "kernels/aligned.h"
#include "kernels/key_block.h"

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace xlc {

namespace {

// A part of the keys is at least as long as this.
constexpr size_t fewest_keys_of_part = 4 * key_block;

size_t padded_to_vectors(int64_t n) {
    return (static_cast<size_t>(n) + most_lanes - 1) / most_lanes * most_lanes;
}

bool has_readable_rows(const ggml_tensor* tensor) {
    return tensor->nb[0] == ggml_type_size(tensor->type) &&
           (tensor->type == GGML_TYPE_F32 || ggml_get_type_traits(tensor->type)->to_float);
}

float parameter(const ggml_tensor* node, size_t index) {
    float value = 0;
    std::memcpy(&value, node->op_params + index, sizeof(value));
    return value;
}

} // namespace

struct FlashAttention::Scratch {
    float* queries; // [most_query_rows][key_width]
    float* keys;    // [key_width][key_block]
    float* values;  // [key_block][value_width]
    float* mixed;   // [most_query_rows][value_width]
    float* scores;  // [most_query_rows][key_block]
    float* rows;    // [most_lanes][key_width], keys that are to be transposed
    float* slopes;  // [most_query_rows], as the two that follow
    float* maxima;
    float* sums;
    const uint16_t** masks;   // [most_query_rows]
    uint16_t* gathered_masks; // [most_query_rows][key_block]

    static size_t size(size_t key_width, size_t value_width) {
        const size_t n_floats = (most_query_rows + key_block) * (key_width + value_width) +
                                most_query_rows * (key_block + 3) + most_lanes * key_width;
        return n_floats * sizeof(float) +
               most_query_rows * (sizeof(const uint16_t*) + key_block * sizeof(uint16_t));
    }
};

const Kernels* FlashAttention::kernels_for(const ggml_tensor* node) {
    const Kernels* const best = best_kernels();
    if (!best || node->op != GGML_OP_FLASH_ATTN_EXT) {
        return nullptr;
    }
    const ggml_tensor* const queries = node->src[0];
    const ggml_tensor* const keys = node->src[1];
    const ggml_tensor* const values = node->src[2];
    const ggml_tensor* const mask = node->src[3];
    const bool can = queries->type == GGML_TYPE_F32 && queries->nb[0] == sizeof(float) &&
                     has_readable_rows(keys) && has_readable_rows(values) && keys->ne[2] == values->ne[2] &&
                     keys->ne[3] == values->ne[3] && queries->ne[3] == keys->ne[3] &&
                     queries->ne[2] % keys->ne[2] == 0 &&
                     (!mask || (mask->type == GGML_TYPE_F16 && mask->nb[0] == sizeof(uint16_t)));
    return can ? best : nullptr;
}

size_t FlashAttention::workspace_size(const ggml_tensor* node, size_t n_threads) {
    return alignment +
           n_threads *
               Scratch::size(padded_to_vectors(node->src[1]->ne[0]), padded_to_vectors(node->src[2]->ne[0]));
}

FlashAttention::FlashAttention(
    const Kernels& kernels, const ggml_tensor* node, void* workspace, size_t workspace_size, size_t n_threads)
    : kernels_(&kernels), node_(node), queries_(node->src[0]), keys_(node->src[1]), values_(node->src[2]),
      mask_(node->src[3]), sinks_(node->src[4]), scale_(parameter(node, 0)), max_bias_(parameter(node, 1)),
      softcap_(parameter(node, 2)), key_width_(padded_to_vectors(keys_->ne[0])),
      value_width_(padded_to_vectors(values_->ne[0])), n_keys_(static_cast<size_t>(keys_->ne[1])),
      n_sharing_(static_cast<size_t>(queries_->ne[2] / keys_->ne[2])),
      n_rows_(static_cast<size_t>(queries_->ne[1]) * n_sharing_),
      n_groups_(static_cast<size_t>(keys_->ne[2] * keys_->ne[3])),
      n_tiles_((n_rows_ + most_query_rows - 1) / most_query_rows), n_threads_(n_threads),
      scratches_(aligned(static_cast<char*>(workspace))),
      partials_(reinterpret_cast<float*>(scratches_ + n_threads * scratch_size())) {
    if (softcap_ != 0) {
        scale_ /= softcap_;
    }
    // Some chunks for each thread, so that none waits long for the last one.
    const size_t n_wanted = (4 * n_threads + n_groups_ * n_tiles_ - 1) / (n_groups_ * n_tiles_);
    const size_t n_most = n_keys_ / fewest_keys_of_part;
    const size_t used = alignment + n_threads * scratch_size();
    const size_t partials_size = n_groups_ * n_rows_ * (2 + value_width_) * sizeof(float);
    const size_t n_fitting = workspace_size > used ? (workspace_size - used) / partials_size : 0;
    n_parts_ = std::max<size_t>(1, std::min({n_wanted, n_most, n_fitting}));
    const size_t n_blocks = (n_keys_ + key_block - 1) / key_block;
    part_length_ = (n_blocks + n_parts_ - 1) / n_parts_ * key_block;
}

size_t FlashAttention::scratch_size() const {
    return Scratch::size(key_width_, value_width_);
}

FlashAttention::Scratch FlashAttention::scratch(size_t thread) const {
    auto* at = reinterpret_cast<float*>(scratches_ + thread * scratch_size());
    const auto take = [&](size_t n) {
        float* const taken = at;
        at += n;
        return taken;
    };
    Scratch found{};
    found.queries = take(most_query_rows * key_width_);
    found.keys = take(key_width_ * key_block);
    found.values = take(key_block * value_width_);
    found.mixed = take(most_query_rows * value_width_);
    found.scores = take(most_query_rows * key_block);
    found.rows = take(most_lanes * key_width_);
    found.slopes = take(most_query_rows);
    found.maxima = take(most_query_rows);
    found.sums = take(most_query_rows);
    found.gathered_masks = reinterpret_cast<uint16_t*>(at);
    found.masks = reinterpret_cast<const uint16_t**>(found.gathered_masks + most_query_rows * key_block);
    return found;
}

const uint16_t* FlashAttention::mask_of(const Tile& tile, size_t row) const {
    const size_t head = query_head(tile.head, row) % static_cast<size_t>(mask_->ne[2]);
    const size_t stream = tile.stream % static_cast<size_t>(mask_->ne[3]);
    return reinterpret_cast<const uint16_t*>(row_at(mask_, row / n_sharing_, head, stream));
}

// ALiBi's slope of a head: Press et al. 2021, "Train Short, Test Long", section 3, as ggml computes it.
float FlashAttention::slope_of(size_t query_head) const {
    if (max_bias_ <= 0) {
        return 1;
    }
    const auto n_heads = static_cast<float>(queries_->ne[2]);
    const float n_even = std::exp2(std::floor(std::log2(n_heads)));
    const auto head = static_cast<float>(query_head);
    return head < n_even ? std::exp2(-max_bias_ / n_even * (head + 1))
                         : std::exp2(-max_bias_ / 2 / n_even * (2 * (head - n_even) + 1));
}

float* FlashAttention::out_of(size_t stream, size_t head, size_t row) const {
    const auto n_heads = static_cast<size_t>(node_->ne[1]);
    const auto n_tokens = static_cast<size_t>(node_->ne[2]);
    const size_t at = (stream * n_tokens + row / n_sharing_) * n_heads + query_head(head, row);
    return reinterpret_cast<float*>(static_cast<char*>(node_->data) + at * node_->nb[1]);
}

float* FlashAttention::partial_of(size_t stream, size_t head, size_t row, size_t part) const {
    const size_t group = stream * static_cast<size_t>(keys_->ne[2]) + head;
    return partials_ + ((group * n_rows_ + row) * n_parts_ + part) * (2 + value_width_);
}

void FlashAttention::attend(size_t chunk, size_t thread) const {
    const size_t part = chunk % n_parts_;
    const size_t index = chunk / n_parts_ % n_tiles_;
    const size_t group = chunk / n_parts_ / n_tiles_;
    const auto n_heads = static_cast<size_t>(keys_->ne[2]);
    const size_t first = index * most_query_rows;
    const Tile tile{group / n_heads, group % n_heads, first, std::min(most_query_rows, n_rows_ - first)};
    const Scratch mine = scratch(thread);
    read_queries(tile, mine);
    if (sinks_ && part == 0) {
        for (size_t i = 0; i < tile.n; ++i) {
            mine.maxima[i] = static_cast<const float*>(sinks_->data)[query_head(tile.head, first + i)];
            mine.sums[i] = 1;
        }
    }
    const size_t end = std::min(n_keys_, (part + 1) * part_length_);
    for (size_t key = part * part_length_; key < end; key += key_span) {
        attend_to_span(tile, key, std::min(key_span, end - key), mine);
    }
    write(tile, part, mine);
}

void FlashAttention::read_queries(const Tile& tile, const Scratch& scratch) const {
    const auto n_dims = static_cast<size_t>(queries_->ne[0]);
    for (size_t i = 0; i < tile.n; ++i) {
        const size_t row = tile.first + i;
        const size_t head = query_head(tile.head, row);
        const auto* from =
            reinterpret_cast<const float*>(row_at(queries_, row / n_sharing_, head, tile.stream));
        float* const to = scratch.queries + i * key_width_;
        for (size_t d = 0; d < n_dims; ++d) {
            to[d] = from[d] * scale_;
        }
        scratch.masks[i] = mask_ ? mask_of(tile, row) : nullptr;
        scratch.slopes[i] = slope_of(head);
        scratch.maxima[i] = -std::numeric_limits<float>::infinity();
        scratch.sums[i] = 0;
    }
    std::fill_n(scratch.mixed, tile.n * value_width_, 0.0F);
}

// Requests that share a cache see different keys, which lie between each other's.
void FlashAttention::attend_to_span(
    const Tile& tile, size_t key, size_t n_keys, const Scratch& scratch) const {
    SeenKeys by_any;
    std::array<SeenKeys, most_query_rows> by_token;
    std::array<Tile, most_query_rows> tokens;
    size_t n_tokens = 0;
    size_t n_pairs = 0;
    for (size_t i = 0; i < tile.n; ++i) {
        const uint16_t* const mask = scratch.masks[i];
        if (i > 0 && mask == scratch.masks[i - 1]) {
            ++tokens[n_tokens - 1].n;
            continue;
        }
        tokens[n_tokens] = {tile.stream, tile.head, tile.first + i, 1};
        by_token[n_tokens].find(*kernels_, mask ? mask + key : nullptr, n_keys);
        n_pairs += by_token[n_tokens].n();
        by_any.add(by_token[n_tokens]);
        ++n_tokens;
    }
    const auto attend_to_seen = [&](const Tile& rows, const SeenKeys& seen) {
        seen.for_each_block(key, [&](const KeyBlock& block) {
            attend_to_block(rows, rows.first - tile.first, block, scratch);
        });
    };
    if (2 * n_pairs >= by_any.n() * n_tokens) {
        attend_to_seen(tile, by_any);
        return;
    }
    for (size_t i = 0; i < n_tokens; ++i) {
        attend_to_seen(tokens[i], by_token[i]);
    }
}

void FlashAttention::attend_to_block(
    const Tile& rows, size_t offset, const KeyBlock& block, const Scratch& scratch) const {
    std::array<const uint16_t*, most_query_rows> masks;
    for (size_t i = 0; i < rows.n; ++i) {
        const uint16_t* const mask = scratch.masks[offset + i];
        masks[i] = i > 0 && mask == scratch.masks[offset + i - 1]
                       ? masks[i - 1]
                       : block.gather(mask, scratch.gathered_masks + i * key_block);
    }
    block.read_transposed(*kernels_, {keys_, rows.head, rows.stream}, scratch.rows, key_width_, scratch.keys);
    block.read(*kernels_, {values_, rows.head, rows.stream}, scratch.values, value_width_);
    const QueryRows queries{
        rows.n,
        static_cast<size_t>(keys_->ne[0]),
        key_width_,
        value_width_,
        scratch.queries + offset * key_width_,
        masks.data(),
        scratch.slopes + offset,
        softcap_,
        scratch.scores,
        scratch.maxima + offset,
        scratch.sums + offset,
        scratch.mixed + offset * value_width_};
    kernels_->attend_to_block(queries, scratch.keys, scratch.values);
}

void FlashAttention::write(const Tile& tile, size_t part, const Scratch& scratch) const {
    for (size_t i = 0; i < tile.n; ++i) {
        const size_t row = tile.first + i;
        const float* const mixed = scratch.mixed + i * value_width_;
        if (n_parts_ > 1) {
            float* const partial = partial_of(tile.stream, tile.head, row, part);
            partial[0] = scratch.maxima[i];
            partial[1] = scratch.sums[i];
            std::copy_n(mixed, value_width_, partial + 2);
            continue;
        }
        const float scale = scratch.sums[i] == 0 ? 0.0F : 1 / scratch.sums[i];
        float* const out = out_of(tile.stream, tile.head, row);
        for (int64_t d = 0; d < values_->ne[0]; ++d) {
            out[d] = mixed[d] * scale;
        }
    }
}

void FlashAttention::combine(size_t thread) const {
    const size_t n_all = n_groups_ * n_rows_;
    const auto n_heads = static_cast<size_t>(keys_->ne[2]);
    for (size_t i = n_all * thread / n_threads_; i < n_all * (thread + 1) / n_threads_; ++i) {
        const size_t group = i / n_rows_;
        const size_t row = i % n_rows_;
        const float* const first = partial_of(group / n_heads, group % n_heads, row, 0);
        const size_t stride = 2 + value_width_;
        float top = first[0];
        for (size_t part = 1; part < n_parts_; ++part) {
            top = std::max(top, first[part * stride]);
        }
        float* const out = out_of(group / n_heads, group % n_heads, row);
        const auto n_dims = static_cast<size_t>(values_->ne[0]);
        std::fill_n(out, n_dims, 0.0F);
        float sum = 0;
        for (size_t part = 0; part < n_parts_; ++part) {
            const float* const partial = first + part * stride;
            if (partial[1] != 0) {
                const float factor = std::exp(partial[0] - top);
                sum += partial[1] * factor;
                for (size_t d = 0; d < n_dims; ++d) {
                    out[d] += partial[2 + d] * factor;
                }
            }
        }
        for (size_t d = 0; d < n_dims && sum != 0; ++d) {
            out[d] /= sum;
        }
    }
}

} // namespace xlc
