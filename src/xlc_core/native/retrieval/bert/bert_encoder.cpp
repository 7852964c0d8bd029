#include "retrieval/bert/bert_encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace xlc {

namespace {

constexpr size_t unit_columns = 64;       // columns of a product that a thread computes at a time
constexpr size_t unit_queries = 128;      // queries of a head that a thread computes at a time
constexpr size_t feed_forward_rows = 256; // rows in the hidden layer at a time, because it is wide

size_t count_units(size_t n, size_t unit) {
    return (n + unit - 1) / unit;
}

template<typename T> void grow(std::vector<T>& buffer, size_t n) {
    if (buffer.size() < n) {
        buffer = std::vector<T>(); // free the old buffer first, so that memory need not hold both
        buffer.resize(n);
    }
}

void add(float* to, const float* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        to[i] += values[i];
    }
}

// matrix · x + bias, for the few rows of a ranking head.
std::vector<float>
project(const std::vector<float>& matrix, const std::vector<float>& bias, const std::vector<float>& x) {
    std::vector<float> out(bias);
    for (size_t row = 0; row < out.size(); ++row) {
        const float* const weights = matrix.data() + row * x.size();
        for (size_t i = 0; i < x.size(); ++i) {
            out[row] += weights[i] * x[i];
        }
    }
    return out;
}

} // namespace

BertEncoder::BertEncoder(std::unique_ptr<const BertWeights> weights, int n_threads)
    : weights_(std::move(weights)), team_(static_cast<size_t>(std::max(n_threads, 1))),
      scratch_(team_.size()) {}

size_t BertEncoder::n_bytes() const {
    size_t n_bytes = 0;
    for (const BertLayer& layer : weights_->layers) {
        n_bytes +=
            layer.qkv.n_bytes() + layer.attention_out.n_bytes() + layer.up.n_bytes() + layer.down.n_bytes();
    }
    return n_bytes;
}

bool BertEncoder::encode(const std::vector<const TokenSequence*>& texts, const Stop& stop) {
    plan(texts);
    stopped_ = false;
    team_.run([&](size_t thread) { run_layers(texts, stop, thread); });
    return !stopped_;
}

void BertEncoder::plan(const std::vector<const TokenSequence*>& texts) {
    first_tokens_.assign(1, 0);
    attentions_.clear();
    size_t longest = 0;
    for (size_t text = 0; text < texts.size(); ++text) {
        const size_t n_tokens = texts[text]->tokens.size();
        for (size_t head = 0; head < weights_->n_heads; ++head) {
            for (size_t first = 0; first < n_tokens; first += unit_queries) {
                attentions_.push_back({text, head, first, std::min(first + unit_queries, n_tokens)});
            }
        }
        first_tokens_.push_back(first_tokens_.back() + n_tokens);
        longest = std::max(longest, n_tokens);
    }

    prepare_turns(longest);

    // All layers have the same shape, so the first one gives the size of the buffers.
    const BertLayer& layer = weights_->layers.front();
    const size_t n_tokens = first_tokens_.back();
    const size_t n_hidden_rows = std::min(n_tokens, feed_forward_rows);
    grow(x_, n_tokens * weights_->n_embd);
    grow(qkv_, n_tokens * layer.qkv.n_padded_out());
    grow(mixed_, n_tokens * weights_->n_embd);
    grow(projected_, n_tokens * layer.attention_out.n_padded_out());
    grow(hidden_, n_hidden_rows * layer.up.n_padded_out());
    grow(values_, n_tokens * layer.qkv.view().n_in);
    grow(scales_, n_tokens * layer.qkv.view().n_blocks);
    grow(hidden_values_, n_hidden_rows * layer.down.view().n_in);
    grow(hidden_scales_, n_hidden_rows * layer.down.view().n_blocks);
    for (std::vector<float>& scratch : scratch_) {
        grow(scratch, weights_->kernels->attention_scratch(longest, weights_->n_embd / weights_->n_heads));
    }
}

// Every thread of the team runs this; team_.share() divides the work.
void BertEncoder::run_layers(
    const std::vector<const TokenSequence*>& texts, const Stop& stop, size_t thread) {
    team_.share(texts.size(), [&](size_t index) { embed(*texts[index], index); });
    for (const BertLayer& layer : weights_->layers) {
        if (thread == 0 && stop && stop()) {
            stopped_ = true;
        }
        team_.share(0, [](size_t) {}); // wait, so that all threads see stopped_
        if (stopped_) {
            return;
        }
        run_attention(layer, thread);
        run_feed_forward(layer);
    }
    if (!weights_->last_norm.weight.empty()) {
        share_rows(first_tokens_.back(), [&](size_t row, size_t n) {
            normalize(x_.data() + row * weights_->n_embd, nullptr, 0, n, weights_->last_norm);
        });
    }
}

void BertEncoder::embed(const TokenSequence& text, size_t index) {
    const size_t n_embd = weights_->n_embd;
    for (size_t i = 0; i < text.tokens.size(); ++i) {
        float* const row = x_.data() + (first_tokens_[index] + i) * n_embd;
        read_row(weights_->token_embeddings, text.tokens[i], row);
        if (!weights_->position_embeddings.empty()) {
            add(row, weights_->position_embeddings.data() + i * n_embd, n_embd);
        }
        if (!weights_->type_embeddings.empty()) {
            add(row, weights_->type_embeddings.data() + (i >= text.sentence_b ? n_embd : 0), n_embd);
        }
    }
    normalize(
        x_.data() + first_tokens_[index] * n_embd, nullptr, 0, text.tokens.size(), weights_->embedding_norm);
}

void BertEncoder::prepare_turns(size_t n_positions) {
    turns_.resize(weights_->rotations.size());
    for (size_t set = 0; set < turns_.size(); ++set) {
        const std::vector<float>& rotations = weights_->rotations[set];
        std::vector<float>& turns = turns_[set];
        for (size_t position = turns.size() / (2 * rotations.size()); position < n_positions; ++position) {
            for (const float rotation : rotations) {
                turns.push_back(std::cos(static_cast<float>(position) * rotation));
            }
            for (const float rotation : rotations) {
                turns.push_back(std::sin(static_cast<float>(position) * rotation));
            }
        }
    }
}

// Rotate the queries and keys of a text by their positions: number i of a head together with number
// i + head_dim / 2.
void BertEncoder::turn(size_t text, const BertLayer& layer) {
    const std::vector<float>& turns = turns_[layer.rotation];
    const size_t half = weights_->rotations[layer.rotation].size();
    const size_t n_tokens = first_tokens_[text + 1] - first_tokens_[text];
    for (size_t i = 0; i < n_tokens; ++i) {
        const float* const cosines = turns.data() + i * 2 * half;
        const float* const sines = cosines + half;
        float* head = qkv_.data() + (first_tokens_[text] + i) * layer.qkv.n_padded_out();
        for (size_t h = 0; h < 2 * weights_->n_heads; ++h, head += 2 * half) { // the keys follow the queries
            for (size_t d = 0; d < half; ++d) {
                const float a = head[d];
                const float b = head[d + half];
                head[d] = a * cosines[d] - b * sines[d];
                head[d + half] = a * sines[d] + b * cosines[d];
            }
        }
    }
}

// Quantise a block's input: rows [first, first + n_rows) of x_, normalised if the model normalises first.
void BertEncoder::quantize_input(size_t first, size_t n_rows, const LayerNorm& norm, QuantizedRows out) {
    const size_t n_embd = weights_->n_embd;
    const float* const x = x_.data() + first * n_embd;
    if (!weights_->normalizes_first || norm.weight.empty()) {
        quantize(x, n_embd, n_rows, n_embd, out);
        return;
    }
    float* const normalized = mixed_.data();
    share_rows(n_rows, [&](size_t row, size_t n) {
        std::copy_n(x + row * n_embd, n * n_embd, normalized + row * n_embd);
        normalize(normalized + row * n_embd, nullptr, 0, n, norm);
    });
    quantize(normalized, n_embd, n_rows, n_embd, out);
}

// Add a block's output to rows [first, first + n_rows) of x_, and normalise if the model normalises last.
void BertEncoder::add_output(size_t first, size_t n_rows, size_t stride, const LayerNorm& norm) {
    const size_t n_embd = weights_->n_embd;
    float* const x = x_.data() + first * n_embd;
    const float* const output = projected_.data();
    share_rows(n_rows, [&](size_t row, size_t n) {
        if (!weights_->normalizes_first) {
            normalize(x + row * n_embd, output + row * stride, stride, n, norm);
            return;
        }
        for (size_t i = row; i < row + n; ++i) {
            add(x + i * n_embd, output + i * stride, n_embd);
        }
    });
}

void BertEncoder::run_attention(const BertLayer& layer, size_t thread) {
    const size_t n_embd = weights_->n_embd;
    const size_t n_tokens = first_tokens_.back();
    const size_t stride = layer.qkv.n_padded_out();
    const size_t head_dim = n_embd / weights_->n_heads;
    const QuantizedRows rows{values_.data(), scales_.data()};

    quantize_input(0, n_tokens, layer.attention_norm, rows);
    multiply(layer.qkv, rows, n_tokens, Activation::none, qkv_);
    if (!weights_->rotations.empty()) {
        team_.share(first_tokens_.size() - 1, [&](size_t text) { turn(text, layer); });
    }
    team_.share(attentions_.size(), [&](size_t unit) {
        const Attention& part = attentions_[unit];
        const size_t first_token = first_tokens_[part.text];
        weights_->kernels->attend(
            qkv_.data() + first_token * stride + part.head * head_dim, stride, n_embd,
            first_tokens_[part.text + 1] - first_token, part.first, part.end, layer.window,
            weights_->slopes.empty() ? 0.0F : weights_->slopes[part.head], head_dim,
            mixed_.data() + first_token * n_embd + part.head * head_dim, n_embd, scratch_[thread].data());
    });
    quantize(mixed_.data(), n_embd, n_tokens, n_embd, rows);
    multiply(layer.attention_out, rows, n_tokens, Activation::none, projected_);
    add_output(0, n_tokens, layer.attention_out.n_padded_out(), layer.attention_norm);
}

void BertEncoder::run_feed_forward(const BertLayer& layer) {
    const size_t n_tokens = first_tokens_.back();
    const size_t stride = layer.up.n_padded_out();
    const QuantizedRows rows{values_.data(), scales_.data()};
    const QuantizedRows hidden_rows{hidden_values_.data(), hidden_scales_.data()};
    for (size_t first = 0; first < n_tokens; first += feed_forward_rows) {
        const size_t n_rows = std::min(feed_forward_rows, n_tokens - first);
        quantize_input(first, n_rows, layer.feed_forward_norm, rows);
        multiply(layer.up, rows, n_rows, weights_->gated ? Activation::none : weights_->activation, hidden_);
        if (weights_->gated) {
            share_rows(n_rows, [&](size_t row, size_t n) {
                weights_->kernels->gate(
                    hidden_.data() + row * stride, stride, n, weights_->n_ff, weights_->activation);
            });
        }
        quantize(hidden_.data(), stride, n_rows, weights_->n_ff, hidden_rows);
        multiply(layer.down, hidden_rows, n_rows, Activation::none, projected_);
        add_output(first, n_rows, layer.down.n_padded_out(), layer.feed_forward_norm);
    }
}

void BertEncoder::multiply(
    const PackedMatrix& matrix,
    QuantizedRows rows,
    size_t n_rows,
    Activation activation,
    std::vector<float>& out) {
    const size_t n_panels = unit_columns / weights_->kernels->panel_width;
    team_.share(count_units(matrix.n_panels(), n_panels), [&](size_t unit) {
        const size_t first = unit * n_panels;
        weights_->kernels->multiply(
            rows, n_rows, matrix.view(), first, std::min(first + n_panels, matrix.n_panels()), activation,
            out.data(), matrix.n_padded_out());
    });
}

void BertEncoder::quantize(const float* rows, size_t stride, size_t n_rows, size_t n, QuantizedRows out) {
    const size_t n_padded = (n + row_padding - 1) / row_padding * row_padding;
    const size_t n_blocks = count_units(n_padded, scale_block);
    share_rows(n_rows, [&](size_t row, size_t n_here) {
        weights_->kernels->quantize(
            rows + row * stride, stride, n_here, n, n_padded,
            {out.values + row * n_padded, out.scales + row * n_blocks});
    });
}

void BertEncoder::normalize(
    float* rows, const float* added, size_t stride, size_t n_rows, const LayerNorm& norm) const {
    weights_->kernels->add_and_normalize(
        rows, added, stride, n_rows, weights_->n_embd, norm.weight.data(), norm.bias.data(),
        weights_->norm_epsilon);
}

std::vector<float> BertEncoder::labels(size_t index) const {
    std::vector<float> x = pooled(index);
    if (!weights_->pooler.empty()) {
        x = project(weights_->pooler, weights_->pooler_bias, x);
        std::transform(x.begin(), x.end(), x.begin(), [this](float value) {
            return weights_->pooler_is_gelu ? value * 0.5F * (1.0F + std::erf(value * std::sqrt(0.5F)))
                                            : std::tanh(value);
        });
        if (!weights_->pooler_norm.weight.empty()) {
            normalize(x.data(), nullptr, 0, 1, weights_->pooler_norm);
        }
    }
    return weights_->output.empty() ? x : project(weights_->output, weights_->output_bias, x);
}

// Return the input of the ranking head.
std::vector<float> BertEncoder::pooled(size_t index) const {
    const size_t n_embd = weights_->n_embd;
    std::vector<float> x(rows(index), rows(index) + n_embd);
    if (!weights_->ranks_mean) {
        return x;
    }
    const size_t n_tokens = first_tokens_[index + 1] - first_tokens_[index];
    for (size_t i = 1; i < n_tokens; ++i) {
        add(x.data(), rows(index) + i * n_embd, n_embd);
    }
    for (float& value : x) {
        value /= static_cast<float>(n_tokens);
    }
    return x;
}

} // namespace xlc
