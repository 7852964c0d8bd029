// The arithmetic of an encoder's layers, in one version for each kind of processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xlc {

// Weights and activations are multiplied as 16-bit integers, scaled in blocks along the summed dimension: x86
// adds two products of them in one instruction, so that a processor does twice as many as of float32, at the
// precision of float16. Shorter blocks are more precise and, with their scales, slower; the largest
// magnitudes are such that the products of one block cannot overflow int32: 4095 · 4095 · 128 < 2³¹.
constexpr size_t scale_block = 128;
constexpr int activation_max = 4095;
constexpr int weight_max = 4095;

// Rows of quantised activations, and of weights, are padded with zeros to a multiple of this.
constexpr size_t row_padding = 32;

// A weight matrix of n_out rows of n_in, as bert/packed_matrix.h lays it out.
struct PackedView {
    size_t n_in;           // padded
    size_t n_blocks;       // of scale_block
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

struct EncoderKernels {
    const char* name;
    size_t panel_width; // output columns that are computed together

    // Quantise n_rows rows of n numbers, `stride` apart. A row with a number that is not finite gets scales
    // that are not.
    void (*quantize)(
        const float* rows, size_t stride, size_t n_rows, size_t n, size_t n_padded, QuantizedRows out);

    // rows[i] = activation(rows[i]) · rows[n + i]; n is a multiple of row_padding.
    void (*gate)(float* rows, size_t stride, size_t n_rows, size_t n, Activation activation);

    // out[row][column] = activation(rows · weightsᵀ + bias), for the columns of panels [first, end). `stride`
    // of out is at least the padded number of columns.
    void (*multiply)(
        QuantizedRows rows,
        size_t n_rows,
        const PackedView& weights,
        size_t first_panel,
        size_t end_panel,
        Activation activation,
        float* out,
        size_t stride);

    // Attention of one head over one text of n tokens, for the queries [first, end) of these, to keys at most
    // `window` tokens away. qkv points to the head's first query; keys and values lie n_embd and 2 n_embd
    // further. out points to the head's part of the text's first row; scratch holds attention_scratch()
    // floats.
    void (*attend)(
        const float* qkv,
        size_t stride,
        size_t n_embd,
        size_t n_tokens,
        size_t first,
        size_t end,
        size_t window,
        size_t head_dim,
        float* out,
        size_t out_stride,
        float* scratch);
    size_t (*attention_scratch)(size_t n_tokens, size_t head_dim);

    // rows = LayerNorm(rows + added) · weight + bias; without `added` of the rows alone.
    void (*add_and_normalize)(
        float* rows,
        const float* added,
        size_t added_stride,
        size_t n_rows,
        size_t n,
        const float* weight,
        const float* bias,
        float epsilon);
};

// What this processor runs fastest; nullptr when there is no version for it.
const EncoderKernels* best_encoder_kernels();

// The versions; nullptr when they were not compiled, which says nothing about the processor.
const EncoderKernels* avx2_encoder_kernels();
const EncoderKernels* avx512_encoder_kernels();

} // namespace xlc
