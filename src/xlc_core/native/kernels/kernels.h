// The arithmetic of models, in one version for each kind of processor.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>

namespace xlc {

// Weights and activations are multiplied as 16-bit integers, scaled in blocks along the summed dimension. x86
// multiplies and adds two pairs of them in one instruction, so that it computes twice as many as with
// float32, at the precision of float16. Shorter blocks are more precise but slower, since each has a scale.
// The largest magnitudes are chosen so that the products of one block cannot overflow int32:
// 4095 · 4095 · 128 < 2³¹ and 8191 · 8191 · 32 < 2³¹.
constexpr size_t scale_block = 128;
constexpr int activation_max = 4095;
constexpr int weight_max = 4095;

// For decoders: a few of their activations are thousands of times the others, and spoil a block's precision.
constexpr size_t fine_block = 32;
constexpr int fine_max = 8191;

// Rows of quantised activations and of weights are padded with zeros to a multiple of this.
constexpr size_t row_padding = 32;

// A weight matrix with n_out rows of n_in numbers, in the layout of packed_matrix.h.
struct PackedView {
    size_t n_in;           // padded
    size_t n_blocks;       // blocks with a scale in a row
    const int16_t* values; // [panel][n_in / 2][panel_width][2]
    const float* scales;   // [panel][block][panel_width]
    const float* bias;     // [padded n_out]
};

// Rows of activations as integers.
struct QuantizedRows {
    int16_t* values; // [row][n_in]
    float* scales;   // [row][n_blocks]
};

enum class Activation { none, gelu, silu };

// Keys that flash attention reads together, and the most rows of queries that it does at once.
constexpr size_t key_block = 64;
constexpr size_t most_query_rows = 48;

// Rows of queries, and what is known of their attention so far.
struct QueryRows {
    size_t n;
    size_t n_dims;                // numbers of a query and of a key
    size_t key_width;             // the same, padded
    size_t value_width;           // numbers of a value, padded
    const float* queries;         // [row][key_width], scaled
    const uint16_t* const* masks; // [row] key_block numbers in float16, added to the scores, or nullptr
    const float* slopes;          // [row] factors of the masks
    float softcap;                // scores become softcap · tanh(score); 0: they stay
    float* scores;                // [row][key_block], for the kernel's use
    float* maxima;                // [row] the largest score so far
    float* sums;                  // [row] the sum of weights so far, which are e^(score − maximum)
    float* mixed;                 // [row][value_width] the sum of weighted values so far
};

struct Kernels {
    const char* name;
    size_t panel_width; // output columns that are computed together

    // Quantise n_rows rows of n numbers, `stride` apart. If a row has a number that is not finite, its scales
    // are not finite either.
    void (*quantize)(
        const float* rows, size_t stride, size_t n_rows, size_t n, size_t n_padded, QuantizedRows out);

    // rows[i] = activation(rows[i]) · rows[n + i]; n is a multiple of row_padding.
    void (*gate)(float* rows, size_t stride, size_t n_rows, size_t n, Activation activation);

    // out[row][column] = activation(rows · weightsᵀ + bias), for the columns of panels [first, end). The
    // stride of `out` is at least the padded number of columns.
    void (*multiply)(
        QuantizedRows rows,
        size_t n_rows,
        const PackedView& weights,
        size_t first_panel,
        size_t end_panel,
        Activation activation,
        float* out,
        size_t stride);

    // Attention of one head in one text of n tokens: from the queries [first, end) to keys at most `window`
    // tokens away, whose scores lose `slope` for each token of the distance (ALiBi). qkv points to the head's
    // first query; keys and values follow at n_embd and 2 n_embd. out points to the head's part of the text's
    // first row. scratch holds attention_scratch() floats.
    void (*attend)(
        const float* qkv,
        size_t stride,
        size_t n_embd,
        size_t n_tokens,
        size_t first,
        size_t end,
        size_t window,
        float slope,
        size_t head_dim,
        float* out,
        size_t out_stride,
        float* scratch);
    size_t (*attention_scratch)(size_t n_tokens, size_t head_dim);

    // The same in fine blocks. The number of numbers in a row is a multiple of fine_block.
    void (*quantize_finely)(
        const float* rows, size_t stride, size_t n_rows, size_t n, size_t n_padded, QuantizedRows out);
    void (*multiply_finely)(
        QuantizedRows rows,
        size_t n_rows,
        const PackedView& weights,
        size_t first_panel,
        size_t end_panel,
        Activation activation,
        float* out,
        size_t stride);

    // Quantise a panel's rows of n weights, in fine blocks, to where the panel has these inputs. Values and
    // scales of missing rows become zeros.
    void (*pack_finely)(
        const float* rows, size_t stride, size_t n_rows, size_t n, int16_t* values, float* scales);
    // The same for at most 256 weights of each row in the layout of a ggml type. Return false for types that
    // this does not read, whose weights are packed by pack_finely.
    bool (*pack_weights)(
        ggml_type type,
        const char* rows,
        size_t stride,
        size_t n_rows,
        size_t n,
        int16_t* values,
        float* scales);

    // rows = LayerNorm(rows + added) · weight + bias. `added` may be nullptr, which adds nothing.
    void (*add_and_normalize)(
        float* rows,
        const float* added,
        size_t added_stride,
        size_t n_rows,
        size_t n,
        const float* weight,
        const float* bias,
        float epsilon);

    // Flash attention. to[i][row] = rows[row][i], for `vector_width` rows of n numbers; whole vectors are
    // read and written. Halves are float16.
    size_t vector_width;
    void (*transpose)(const float* rows, size_t stride, size_t n, float* to, size_t to_stride);
    void (*transpose_halves)(const uint16_t* const* rows, size_t n, float* to, size_t to_stride);
    void (*halves_to_floats)(
        const uint16_t* const* rows, size_t n_rows, size_t n, float* to, size_t to_stride);
    // One row of any length, of float16 and of bfloat16.
    void (*row_of_halves)(const uint16_t* row, size_t n, float* to);
    void (*row_of_bfloats)(const uint16_t* row, size_t n, float* to);
    // Set a bit for each of n numbers, a multiple of 32, that is not minus infinity.
    void (*find_visible)(const uint16_t* mask, size_t n, uint32_t* bits);
    // Add the next key_block keys to the rows' attention. Keys are transposed: [n_dims][key_block].
    void (*attend_to_block)(const QueryRows& rows, const float* keys, const float* values);
};

// Return the fastest version that this processor can run, or the one that the environment variable
// XLLAMA_KERNELS names, or nullptr. Throws invalid_request if this processor cannot run that one.
const Kernels* best_kernels();

// Return a version, or nullptr when it was not compiled. This does not check the processor.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

} // namespace xlc
