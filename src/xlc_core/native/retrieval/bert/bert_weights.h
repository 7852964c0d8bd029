// The weights of a BERT-like encoder, prepared for the encoder kernels.
#pragma once

#include "kernels/packed_matrix.h"

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace xlc {

struct LayerNorm {
    std::vector<float> weight; // empty: no normalisation
    std::vector<float> bias;
};

struct BertLayer {
    PackedMatrix qkv; // the rows for queries, then keys, then values
    PackedMatrix attention_out;
    LayerNorm attention_norm;
    PackedMatrix up; // if there is a gate, its rows come first
    PackedMatrix down;
    LayerNorm feed_forward_norm;
    size_t window = SIZE_MAX; // tokens to either side that a token attends to
    size_t rotation = 0;      // index into BertWeights::rotations, for its queries and keys
};

// Supports these architectures of llama.cpp:
//   bert         BERT, RoBERTa and XLM-RoBERTa, such as MiniLM, BGE, E5, GTE and Arctic
//   nomic-bert   has rotary positions and a gate in its feed-forward layers
//   jina-bert-v2 has biases by distance and a gate; those that normalise queries and keys are not supported
//   modern-bert  normalises before each block; some layers attend to neighbouring tokens only
struct BertWeights {
    // Whether models of this architecture can be supported on this processor.
    static bool knows(const std::string& architecture);

    // Return nullptr for any other model, for weights that are not in host memory (but on a GPU), and on a
    // processor without kernels. Packs the weights on n_threads.
    static std::unique_ptr<const BertWeights> of(const llama_model* model, int n_threads);

    const Kernels* kernels = nullptr;
    size_t n_embd = 0;
    size_t n_heads = 0;
    size_t n_ff = 0;
    float norm_epsilon = 0.0F;
    bool normalizes_first = false;            // normalises each block's input, not the sum after the block
    Activation activation = Activation::gelu; // in the feed-forward layers
    bool gated = false;                       // activation(gate · x) · (up · x) instead of activation(up · x)

    // Belongs to the loaded model, which must live longer.
    const ggml_tensor* token_embeddings = nullptr;
    std::vector<float> position_embeddings;    // [position][n_embd]; empty with other positions
    std::vector<std::vector<float>> rotations; // radians per position, [head_dim / 2]; empty if not rotary
    std::vector<float> slopes;                 // [head] of the biases by distance; empty without
    std::vector<float> type_embeddings;        // [type][n_embd]; empty if the model has no types
    LayerNorm embedding_norm;
    std::vector<BertLayer> layers;
    LayerNorm last_norm; // after all layers

    // The ranking head: output · norm(activation(pooler · x)); x is the first token or the mean of all.
    bool ranks_mean = false;
    std::vector<float> pooler, pooler_bias; // [n_embd][n_embd]; empty without a pooler
    bool pooler_is_gelu = false;            // else tanh
    LayerNorm pooler_norm;
    std::vector<float> output, output_bias; // [label][n_embd]
};

} // namespace xlc
