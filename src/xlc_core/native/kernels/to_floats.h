// Numbers of ggml's types as float32.
#pragma once

#include <ggml-cpu.h>
#include <ggml.h>

#include <cstddef>
#include <cstdint>

namespace xlc {

inline void to_floats(ggml_type type, const void* from, float* to, size_t n) {
    const auto count = static_cast<int64_t>(n);
    switch (type) {
    case GGML_TYPE_F32:
        ggml_cpu_fp32_to_fp32(static_cast<const float*>(from), to, count);
        break;
    case GGML_TYPE_F16:
        ggml_cpu_fp16_to_fp32(static_cast<const ggml_fp16_t*>(from), to, count);
        break;
    case GGML_TYPE_BF16:
        ggml_cpu_bf16_to_fp32(static_cast<const ggml_bf16_t*>(from), to, count);
        break;
    default:
        ggml_get_type_traits(type)->to_float(from, to, count);
    }
}

} // namespace xlc
