// The weights of a BERT-like encoder, made ready for the encoder kernels.
#pragma once

#include "retrieval/bert/packed_matrix.h"

#include <llama.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace xlc {

struct LayerNorm {
    std::vector<float> weight;
    std::vector<float> bias;
};

struct BertLayer {
    PackedMatrix qkv; // the rows of queries, keys and values below each other
    PackedMatrix attention_out;
    LayerNorm attention_norm;
    PackedMatrix up; // with a gate, its rows above these
    PackedMatrix down;
    LayerNorm out_norm;
};

// For llama.cpp's architectures "bert" (BERT, RoBERTa and XLM-RoBERTa, as MiniLM, BGE, E5, GTE and Arctic
// are) and "nomic-bert", which has rotary positions and a gate in its feed-forward layers.
struct BertWeights {
    // Whether a model of this architecture may be run so.
    static bool knows(const std::string& architecture);

    // nullptr for any other model, for weights that are not in host memory (a GPU's), and on a processor that
    // there are no kernels for. Packs on n_threads.
    static std::unique_ptr<const BertWeights> of(const llama_model* model, int n_threads);

    const EncoderKernels* kernels;
    size_t n_embd = 0;
    size_t n_heads = 0;
    size_t n_ff = 0;
    float norm_epsilon = 0.0F;

    // Of the loaded model, which must live longer.
    const ggml_tensor* token_embeddings = nullptr;
    std::vector<float> position_embeddings; // [position][n_embd]; empty with rotary positions
    std::vector<float> rotations;           // of a position, in radians, [head_dim / 2]; empty without
    bool gated = false;                     // silu(gate · x) · (up · x) instead of gelu(up · x)
    std::vector<float> type_embeddings;     // [type][n_embd]; empty when the model has none
    LayerNorm embedding_norm;
    std::vector<BertLayer> layers;

    // The ranking head's: labels = output · tanh(pooler · x + bias) + bias; without a pooler of x itself.
    std::vector<float> pooler, pooler_bias; // [n_embd][n_embd]
    std::vector<float> output, output_bias; // [label][n_embd]
    size_t n_labels = 0;
};

} // namespace xlc
