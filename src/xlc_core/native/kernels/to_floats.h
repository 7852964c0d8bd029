// Numbers of ggml's types as float32.
#pragma once

#include "kernels/kernels.h"

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace xlc {

// ggml's own functions for F16 and BF16 are either slow or in the library for one kind of processor.
inline void to_floats(const Kernels& kernels, ggml_type type, const void* from, float* to, size_t n) {
    switch (type) {
    case GGML_TYPE_F32:
        std::memcpy(to, from, n * sizeof(float));
        break;
    case GGML_TYPE_F16:
        kernels.row_of_halves(static_cast<const uint16_t*>(from), n, to);
        break;
    case GGML_TYPE_BF16:
        kernels.row_of_bfloats(static_cast<const uint16_t*>(from), n, to);
        break;
    default:
        ggml_get_type_traits(type)->to_float(from, to, static_cast<int64_t>(n));
    }
}

} // namespace xlc
