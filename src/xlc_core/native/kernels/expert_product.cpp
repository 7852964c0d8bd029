#include "kernels/expert_product.h"

#include "kernels/aligned.h"
#include "support/batch_rounding.h"

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace xlc {

namespace {

// An expert with fewer rows than this is multiplied row by row, because each panel is converted for the rows
// of one expert. Measured with experts of 1,024 rows of 2,048 weights on a Xeon with AVX-512. 0: always ggml.
constexpr size_t most_fewest = 24;
static_assert(most_fewest <= most_rows_of_step);
size_t fewest_rows(ggml_type type) {
    switch (type) {
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q4_0:
        return 6;
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
        return 8;
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
        return 16;
    default:
        return ggml_is_quantized(type) ? most_fewest : 0;
    }
}

size_t length(const ggml_tensor* tensor, int dimension) {
    return static_cast<size_t>(tensor->ne[dimension]);
}

// Return an array of n values behind the first `end` bytes of the memory, and move their end behind it.
// Without memory, only count.
template<typename Value> Value* take(char* memory, size_t& end, size_t n) {
    end = aligned(end);
    auto* const taken = memory ? reinterpret_cast<Value*>(memory + end) : nullptr;
    end += n * sizeof(Value);
    return taken;
}

} // namespace

const Kernels* ExpertProduct::kernels_for(const ggml_tensor* node) {
    const Kernels* const best = best_kernels();
    if (!best || node->op != GGML_OP_MUL_MAT_ID) {
        return nullptr;
    }
    const ggml_tensor* const weights = node->src[0];
    const bool can = fewest_rows(weights->type) > 0 && multiplies_file_weights(node) && weights->ne[3] == 1 &&
                     node->src[1]->ne[3] == 1 && weights->ne[0] % static_cast<int64_t>(fine_block) == 0 &&
                     has_dot_product(weights->type);
    return can ? best : nullptr;
}

size_t ExpertProduct::workspace_size(const Kernels& kernels, const ggml_tensor* product, size_t n_threads) {
    return alignment + ExpertProduct(kernels, product, nullptr, n_threads, true).end_;
}

ExpertProduct::ExpertProduct(
    const Kernels& kernels,
    const ggml_tensor* product,
    void* workspace,
    size_t n_threads,
    bool rounds_by_batch)
    : kernels_(&kernels), product_(product), activations_(static_cast<const float*>(product->src[1]->data)),
      n_in_(length(product->src[0], 0)), n_experts_(length(product->src[0], 2)),
      n_slots_(length(product->src[2], 0)), n_sources_(length(product->src[1], 1)),
      n_tokens_(length(product->src[2], 1)), n_threads_(n_threads),
      n_panels_((length(product, 0) + kernels.panel_width - 1) / kernels.panel_width),
      fewest_(rounds_by_batch ? fewest_rows(product->src[0]->type) : most_rows_of_step) {
    GGML_ASSERT(rounds_by_batch || n_tokens_ < fewest_);
    char* const memory = workspace ? aligned(static_cast<char*>(workspace)) : nullptr;
    const ggml_type type = product->src[0]->type;
    const size_t n_rows = n_tokens_ * n_slots_;
    n_called_ = take<int32_t>(memory, end_, 1);
    n_few_ = take<int32_t>(memory, end_, 1);
    called_ = take<int32_t>(memory, end_, n_experts_);
    ends_ = take<int32_t>(memory, end_, n_experts_ + 1);
    routed_ = take<Routed>(memory, end_, n_rows);
    places_ = take<int32_t>(memory, end_, n_rows);
    const void* const dots = take<char>(memory, end_, dot_rows_size(type, n_tokens_ * n_sources_, n_in_));
    dot_rows_ = dot_rows(type, activations_, n_in_, dots);
    const size_t n_quantized = n_tokens_ < fewest_ ? 0 : n_rows; // otherwise no expert has many rows
    rows_.values = take<int16_t>(memory, end_, n_quantized * n_in_);
    rows_.scales = take<float>(memory, end_, n_quantized * (n_in_ / fine_block));
    panels_ =
        take<char>(memory, end_, n_quantized > 0 ? n_threads * WeightPanel::memory_size(kernels, n_in_) : 0);
}

size_t ExpertProduct::expert_of(size_t token, size_t slot) const {
    const ggml_tensor* const experts = product_->src[2];
    int32_t expert;
    std::memcpy(
        &expert, static_cast<const char*>(experts->data) + token * experts->nb[1] + slot * experts->nb[0],
        sizeof(expert));
    GGML_ASSERT(expert >= 0 && static_cast<size_t>(expert) < n_experts_);
    return static_cast<size_t>(expert);
}

size_t ExpertProduct::n_rows_of(size_t expert) const {
    return static_cast<size_t>(ends_[expert + 1] - ends_[expert]);
}

float* ExpertProduct::result_of(size_t row) const {
    const Routed& routed = routed_[row];
    const size_t place = static_cast<size_t>(routed.token) * n_slots_ + static_cast<size_t>(routed.slot);
    return static_cast<float*>(product_->data) + place * length(product_, 0);
}

void ExpertProduct::sort() const {
    std::fill_n(ends_, n_experts_ + 1, 0);
    for (size_t token = 0; token < n_tokens_; ++token) {
        for (size_t slot = 0; slot < n_slots_; ++slot) {
            ++ends_[expert_of(token, slot) + 1];
        }
    }
    *n_called_ = 0;
    *n_few_ = 0;
    int32_t begin = 0;
    for (size_t expert = 0; expert < n_experts_; ++expert) {
        const int32_t n = ends_[expert + 1];
        if (n > 0) {
            called_[(*n_called_)++] = static_cast<int32_t>(expert);
            *n_few_ += static_cast<size_t>(n) < fewest_ ? 1 : 0;
        }
        ends_[expert + 1] = begin; // grows to the end as the expert's rows are placed
        begin += n;
    }
    for (size_t token = 0; token < n_tokens_; ++token) {
        for (size_t slot = 0; slot < n_slots_; ++slot) {
            const int32_t place = ends_[expert_of(token, slot) + 1]++;
            routed_[place] = {static_cast<int32_t>(token), static_cast<int32_t>(slot)};
            places_[token * n_slots_ + slot] = place;
        }
    }
}

void ExpertProduct::convert(size_t thread) const {
    if (*n_few_ > 0) {
        convert_to_dot_rows(activations_, n_tokens_ * n_sources_, n_in_, dot_rows_, thread, n_threads_);
    }
    if (*n_few_ < *n_called_) {
        const size_t end = n_tokens_ * (thread + 1) / n_threads_;
        for (size_t token = n_tokens_ * thread / n_threads_; token < end; ++token) {
            quantize_token(token);
        }
    }
}

void ExpertProduct::quantize_token(size_t token) const {
    for (size_t source = 0; source < n_sources_; ++source) {
        QuantizedRows first{}; // the others are copies
        for (size_t slot = source; slot < n_slots_; slot += n_sources_) {
            if (!has_many_rows(expert_of(token, slot))) {
                continue;
            }
            const auto place = static_cast<size_t>(places_[token * n_slots_ + slot]);
            const QuantizedRows row = rows_from(rows_, place, n_in_);
            if (first.values) {
                std::copy_n(first.values, n_in_, row.values);
                std::copy_n(first.scales, n_in_ / fine_block, row.scales);
                continue;
            }
            const float* const from = activations_ + (token * n_sources_ + source) * n_in_;
            kernels_->quantize_finely(from, n_in_, 1, n_in_, n_in_, row);
            first = row;
        }
    }
}

void ExpertProduct::multiply(size_t chunk, size_t thread) const {
    const auto expert = static_cast<size_t>(called_[chunk / n_panels_]);
    const size_t panel = chunk % n_panels_;
    const WeightMatrix weights = weight_matrix(product_->src[0], expert);
    if (!has_many_rows(expert)) {
        multiply_few(weights, expert, panel);
        return;
    }
    char* const memory = panels_ + thread * WeightPanel::memory_size(*kernels_, n_in_);
    const WeightPanel packed(*kernels_, weights, panel, memory);
    const auto begin = static_cast<size_t>(ends_[expert]);
    const size_t first = panel * kernels_->panel_width;
    packed.multiply_apart(rows_from(rows_, begin, n_in_), n_rows_of(expert), [&](size_t row) {
        return result_of(begin + row) + first;
    });
}

void ExpertProduct::multiply_few(const WeightMatrix& weights, size_t expert, size_t panel) const {
    std::array<const char*, most_rows_of_step> rows{};
    std::array<float*, most_rows_of_step> outs{};
    const auto begin = static_cast<size_t>(ends_[expert]);
    const size_t n = n_rows_of(expert);
    for (size_t i = 0; i < n; ++i) {
        const Routed& routed = routed_[begin + i];
        const size_t source =
            static_cast<size_t>(routed.token) * n_sources_ + static_cast<size_t>(routed.slot) % n_sources_;
        rows[i] = dot_rows_.data + source * dot_rows_.row_size;
        outs[i] = result_of(begin + i);
    }
    const size_t first = panel * kernels_->panel_width;
    const size_t end = std::min(weights.n_out, first + kernels_->panel_width);
    multiply_dot_rows(weights, first, end, rows.data(), outs.data(), n);
}

} // namespace xlc
