// The instruction sets that this processor has, and its system lets programs use.
#pragma once

namespace xlc {

// Instruction sets of x86, with the names of ggml's CPU backend.
enum class InstructionSet {
    avx,
    avx2,
    fma,
    f16c,
    bmi2,
    avx_vnni,
    avx512, // AVX-512 F
    avx512_bw,
    avx512_vbmi,
    avx512_vnni,
    avx512_bf16,
    amx_int8,
};

// Return whether this processor has the instruction set, and the system saves its registers. On processors of
// other kinds, and with compilers that cannot ask, all have all.
bool runs(InstructionSet set);

} // namespace xlc
