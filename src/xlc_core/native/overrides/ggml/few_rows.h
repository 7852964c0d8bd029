// Products of a matrix of weights with so few rows of activations that the memory decides how long they take:
// the tokens that are generated. ggml's own products of rows are used, and the weights are prefetched.
#pragma once

struct ggml_compute_params;
struct ggml_tensor;

namespace xlc {

// Return false if the product is not one of these.
bool multiply_few_rows(const ggml_compute_params* params, ggml_tensor* product);

} // namespace xlc
