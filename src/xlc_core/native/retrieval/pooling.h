// Combines the vectors of a text's tokens into one vector.
#pragma once

#include <llama.h>

#include <cstddef>

namespace xlc {

// Receives the vectors of one text's tokens in order, in one or several runs, and writes `n_dims` numbers to
// `out`, which must be zero at the start. Dimensions beyond n_dims are left out (Matryoshka embeddings).
class Pooler {
public:
    Pooler(enum llama_pooling_type type, float* out, size_t n_dims)
        : type_(type), out_(out), n_dims_(n_dims) {}

    // `rows` holds n_rows vectors of `stride` numbers; the first one belongs to token `first`.
    void add(size_t first, const float* rows, size_t n_rows, size_t stride);

    // Call once, after the last token.
    void finish();

private:
    enum llama_pooling_type type_;
    float* out_;
    size_t n_dims_;
    size_t n_added_ = 0;
};

// Scale to length 1; a zero vector stays zero. Return false when a number is not finite.
bool normalize(float* vector, size_t n_dims);

// Return false when a number is not finite.
bool is_finite(const float* vector, size_t n_dims);

} // namespace xlc
