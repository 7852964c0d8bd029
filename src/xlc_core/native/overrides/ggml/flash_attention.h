// Flash attention for overrides/ggml/ggml-cpu.c, which is C.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct ggml_compute_params;
struct ggml_tensor;

void xlc_compute_flash_attention(const struct ggml_compute_params* params, struct ggml_tensor* node);

#ifdef __cplusplus
}
#endif
