// The weights of a BERT-like encoder, made ready for the encoder kernels.
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
    std::vector<float> weight; // empty: no normalisation at all
    std::vector<float> bias;
};

struct BertLayer {
    PackedMatrix qkv; // the rows of queries, keys and values below each other
    PackedMatrix attention_out;
    LayerNorm attention_norm;
    PackedMatrix up; // with a gate, its rows above these
    PackedMatrix down;
    LayerNorm feed_forward_norm;
    size_t window = SIZE_MAX; // tokens to either side that a token attends to
    size_t rotation = 0;      // which of BertWeights::rotations turns its queries and keys
};

// For llama.cpp's architectures
//   bert         BERT, RoBERTa and XLM-RoBERTa, as MiniLM, BGE, E5, GTE and Arctic are
//   nomic-bert   which has rotary positions and a gate in its feed-forward layers
//   modern-bert  which normalises before each block, and has layers that look at their neighbourhood only
struct BertWeights {
    // Whether a model of this architecture may be run so.
    static bool knows(const std::string& architecture);

    // nullptr for any other model, for weights that are not in host memory (a GPU's), and on a processor that
    // there are no kernels for. Packs on n_threads.
    static std::unique_ptr<const BertWeights> of(const llama_model* model, int n_threads);

    const EncoderKernels* kernels = nullptr;
    size_t n_embd = 0;
    size_t n_heads = 0;
    size_t n_ff = 0;
    float norm_epsilon = 0.0F;
    bool normalizes_first = false;            // each block's input instead of what it is added to
    Activation activation = Activation::gelu; // of the feed-forward layers
    bool gated = false;                       // activation(gate · x) · (up · x) instead of activation(up · x)

    // Of the loaded model, which must live longer.
    const ggml_tensor* token_embeddings = nullptr;
    std::vector<float> position_embeddings;    // [position][n_embd]; empty with rotary positions
    std::vector<std::vector<float>> rotations; // of a position, in radians, [head_dim / 2]; none without
    std::vector<float> type_embeddings;        // [type][n_embd]; empty when the model has none
    LayerNorm embedding_norm;
    std::vector<BertLayer> layers;
    LayerNorm last_norm; // after all layers

    // The ranking head, over the first token or the mean of all: output · norm(activation(pooler · x)).
    bool ranks_mean = false;
    std::vector<float> pooler, pooler_bias; // [n_embd][n_embd]; empty without
    bool pooler_is_gelu = false;            // else tanh
    LayerNorm pooler_norm;
    std::vector<float> output, output_bias; // [label][n_embd]
};

} // namespace xlc
