// Products of a mixture of experts for overrides/ggml/ggml-cpu.c, which is C.
#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ggml_compute_params;
struct ggml_tensor;

// Return false if our kernels do not compute this node.
bool xlc_multiply_experts(const struct ggml_compute_params* params, struct ggml_tensor* node);

#ifdef __cplusplus
}
#endif
