// A forward pass of a BERT-like encoder on the processor, without llama.cpp's graph.
#pragma once

#include "kernels/thread_team.h"
#include "retrieval/bert/bert_weights.h"
#include "retrieval/tokenizing.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <vector>

namespace xlc {

// Avoids four costs that llama.cpp has for an encoder on a CPU: attention from each text to all texts of a
// micro-batch, most of which is masked; clearing a row of the vocabulary's size for each token; an
// approximate GELU from a table; and matrix products in float32 (docs/benchmarks.md has figures). Not
// thread-safe.
class BertEncoder {
public:
    BertEncoder(std::unique_ptr<const BertWeights> weights, int n_threads);

    // Returns true to stop.
    using Stop = std::function<bool()>;

    // Run texts through the layers. Return false when `stop` returned true; then there are no rows.
    bool encode(const std::vector<const TokenSequence*>& texts, const Stop& stop);

    // Bytes of the packed weights.
    size_t n_bytes() const;

    // After encode(): the rows of text number `index`, one for each token, of n_embd numbers.
    const float* rows(size_t index) const { return x_.data() + first_tokens_[index] * weights_->n_embd; }
    // After encode(): the outputs of the ranking head for text number `index`.
    std::vector<float> labels(size_t index) const;

private:
    struct Attention { // one head's queries [first, end) of a text
        size_t text, head, first, end;
    };

    void plan(const std::vector<const TokenSequence*>& texts);
    void run_layers(const std::vector<const TokenSequence*>& texts, const Stop& stop, size_t thread);
    void embed(const TokenSequence& text, size_t index);
    void prepare_turns(size_t n_positions);
    void turn(size_t text, const BertLayer& layer);
    void run_attention(const BertLayer& layer, size_t thread);
    void run_feed_forward(const BertLayer& layer);
    void quantize_input(size_t first, size_t n_rows, const LayerNorm& norm, QuantizedRows out);
    void add_output(size_t first, size_t n_rows, size_t stride, const LayerNorm& norm);
    void multiply(
        const PackedMatrix& matrix,
        QuantizedRows rows,
        size_t n_rows,
        Activation activation,
        std::vector<float>& out);
    void quantize(const float* rows, size_t stride, size_t n_rows, size_t n, QuantizedRows out);
    void
    normalize(float* rows, const float* added, size_t stride, size_t n_rows, const LayerNorm& norm) const;
    std::vector<float> pooled(size_t index) const;

    // Call function(row, n) for all rows; each call processes rows [row, row + n).
    template<typename Function> void share_rows(size_t n_rows, const Function& function) {
        constexpr size_t n_at_once = 16;
        team_.share((n_rows + n_at_once - 1) / n_at_once, [&](size_t unit) {
            function(unit * n_at_once, std::min(n_at_once, n_rows - unit * n_at_once));
        });
    }

    std::unique_ptr<const BertWeights> weights_;
    ThreadTeam team_;
    std::atomic<bool> stopped_{false};

    // Buffers of the current texts. Each stays as large as it ever was.
    std::vector<size_t> first_tokens_; // index of each text's first token, then the number of tokens
    std::vector<Attention> attentions_;
    std::vector<std::vector<float>> turns_;      // for each rotation: [position][cosines, then sines]
    std::vector<float> x_;                       // [token][n_embd], the layers' input and output
    std::vector<float> qkv_, mixed_, projected_; // [token][padded columns]
    std::vector<float> hidden_;                  // [row of a feed-forward block][padded n_ff]
    std::vector<int16_t> values_, hidden_values_;
    std::vector<float> scales_, hidden_scales_;
    std::vector<std::vector<float>> scratch_; // one for each thread
};

} // namespace xlc
