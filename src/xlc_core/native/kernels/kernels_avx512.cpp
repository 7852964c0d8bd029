// The kernels for x86 processors with AVX-512 and its VNNI (Intel since 2019, AMD since 2022). Compiled with
// the flags for these.
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__) && defined(__GNUC__)

#include <immintrin.h>

namespace xlc {

namespace {

constexpr size_t lanes = 16;
constexpr size_t n_tile_rows = 8; // 16 sums hide the multiplier's latency; there are 32 registers
using Floats = __m512;
using Ints = __m512i;

inline Floats load(const float* from) {
    return _mm512_loadu_ps(from);
}
inline Floats load_halves(const uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline void store(float* to, Floats x) {
    _mm512_storeu_ps(to, x);
}
inline Floats broadcast(float x) {
    return _mm512_set1_ps(x);
}
inline Floats add(Floats a, Floats b) {
    return _mm512_add_ps(a, b);
}
inline Floats subtract(Floats a, Floats b) {
    return _mm512_sub_ps(a, b);
}
inline Floats multiply(Floats a, Floats b) {
    return _mm512_mul_ps(a, b);
}
inline Floats divide(Floats a, Floats b) {
    return _mm512_div_ps(a, b);
}
inline Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
inline Floats maximum(Floats a, Floats b) {
    return _mm512_max_ps(a, b);
}
inline Floats absolute(Floats x) {
    return _mm512_abs_ps(x);
}
inline Floats nearest(Floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Floats times_power_of_two(Floats x, Floats n) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23)));
}
inline float square_root(float x) {
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}
// A bit for each lane in which a is greater.
inline uint32_t greater(Floats a, Floats b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
inline float first_of(Floats x) {
    return _mm512_cvtss_f32(x);
}
inline float reduce_sum(Floats x) {
    return _mm512_reduce_add_ps(x);
}
inline float reduce_maximum(Floats x) {
    return _mm512_reduce_max_ps(x);
}
inline void store_as_int16(int16_t* to, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
}

inline Ints no_products() {
    return _mm512_setzero_si512();
}
inline Ints load_ints(const int16_t* from) {
    return _mm512_loadu_si512(from);
}
inline void store_ints(int16_t* to, Ints x) {
    _mm512_storeu_si512(to, x);
}
// Stores lanes × lanes pairs of numbers with rows and columns exchanged. The stride is in numbers.
inline void store_transposed(Ints (&rows)[16], int16_t* to, size_t to_stride) {
    Ints next[16];
    for (size_t i = 0; i < 16; i += 2) {
        next[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        next[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Then rows[4 a + b] has, in each quarter q, column 4 q + b of the rows 4 a to 4 a + 3.
    for (size_t i = 0; i < 16; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(next[i], next[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(next[i], next[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(next[i + 1], next[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(next[i + 1], next[i + 3]);
    }
    for (size_t b = 0; b < 4; ++b) {
        const Ints low01 = _mm512_shuffle_i32x4(rows[b], rows[4 + b], 0x44);
        const Ints high01 = _mm512_shuffle_i32x4(rows[b], rows[4 + b], 0xEE);
        const Ints low23 = _mm512_shuffle_i32x4(rows[8 + b], rows[12 + b], 0x44);
        const Ints high23 = _mm512_shuffle_i32x4(rows[8 + b], rows[12 + b], 0xEE);
        store_ints(to + b * to_stride, _mm512_shuffle_i32x4(low01, low23, 0x88));
        store_ints(to + (4 + b) * to_stride, _mm512_shuffle_i32x4(low01, low23, 0xDD));
        store_ints(to + (8 + b) * to_stride, _mm512_shuffle_i32x4(high01, high23, 0x88));
        store_ints(to + (12 + b) * to_stride, _mm512_shuffle_i32x4(high01, high23, 0xDD));
    }
}
// The same bits.
inline Ints as_ints(Floats x) {
    return _mm512_castps_si512(x);
}
// Two numbers, repeated.
inline Ints broadcast_pair(const int16_t* from) {
    int32_t pair;
    __builtin_memcpy(&pair, from, sizeof(pair));
    return _mm512_set1_epi32(pair);
}
// sums + a · b, with two products added to each sum.
inline Ints add_products(Ints sums, Ints a, Ints b) {
    return _mm512_dpwssd_epi32(sums, a, b);
}
inline Floats to_floats(Ints x) {
    return _mm512_cvtepi32_ps(x);
}
inline void keep_in_register(Floats& x) {
    asm("" : "+v"(x));
}
inline void keep_in_registers(Ints& a, Ints& b) {
    asm("" : "+v"(a), "+v"(b));
}

#include "kernels/kernels_generic.h"
// Uses definitions of kernels_generic.h; this line keeps clang-format from sorting them.
#include "kernels/kernels_attention.h"
#include "kernels/kernels_flash.h"
#include "kernels/kernels_pack.h"

} // namespace

const Kernels* avx512_kernels() {
    static const Kernels kernels{
        "avx512_vnni",
        tile_width,
        quantize<scale_block, activation_max>,
        gate,
        multiply<scale_block>,
        attend,
        attention_scratch,
        quantize<fine_block, fine_max>,
        multiply<fine_block>,
        pack_finely,
        pack_weights,
        add_and_normalize,
        lanes,
        transpose,
        transpose_halves,
        halves_to_floats,
        row_of_halves,
        row_of_bfloats,
        find_visible,
        attend_to_block};
    return &kernels;
}

} // namespace xlc

#else

const xlc::Kernels* xlc::avx512_kernels() {
    return nullptr;
}

#endif
