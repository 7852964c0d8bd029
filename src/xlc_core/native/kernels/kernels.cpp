#include "kernels/kernels.h"

namespace xlc {

const EncoderKernels* best_encoder_kernels() {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    const EncoderKernels* const avx512 = avx512_encoder_kernels();
    if (avx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vnni")) {
        return avx512;
    }
    const EncoderKernels* const avx2 = avx2_encoder_kernels();
    if (avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c")) {
        return avx2;
    }
#endif
    return nullptr;
}

} // namespace xlc
