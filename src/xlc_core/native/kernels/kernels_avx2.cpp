// The kernels for x86 processors since 2013: AVX2, FMA and F16C. Compiled with the flags for these.
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && defined(__GNUC__)

#include <immintrin.h>

namespace xlc {

namespace {

constexpr size_t lanes = 8;
constexpr size_t n_tile_rows = 6; // 12 sums, 2 weights, 1 input and 1 product use all 16 registers
using Floats = __m256;
using Ints = __m256i;

inline Floats load(const float* from) {
    return _mm256_loadu_ps(from);
}
inline Floats load_halves(const uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline void store(float* to, Floats x) {
    _mm256_storeu_ps(to, x);
}
inline Floats broadcast(float x) {
    return _mm256_set1_ps(x);
}
inline Floats add(Floats a, Floats b) {
    return _mm256_add_ps(a, b);
}
inline Floats subtract(Floats a, Floats b) {
    return _mm256_sub_ps(a, b);
}
inline Floats multiply(Floats a, Floats b) {
    return _mm256_mul_ps(a, b);
}
inline Floats divide(Floats a, Floats b) {
    return _mm256_div_ps(a, b);
}
inline Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
}
inline Floats maximum(Floats a, Floats b) {
    return _mm256_max_ps(a, b);
}
inline Floats absolute(Floats x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x);
}
inline Floats nearest(Floats x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Floats times_power_of_two(Floats x, Floats n) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}
inline float square_root(float x) {
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}
// A bit for each lane in which a is greater.
inline uint32_t greater(Floats a, Floats b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
}
inline float first_of(Floats x) {
    return _mm256_cvtss_f32(x);
}
inline float reduce_sum(Floats x) {
    __m128 sums = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
    return _mm_cvtss_f32(_mm_add_ss(sums, _mm_movehdup_ps(sums)));
}
inline float reduce_maximum(Floats x) {
    __m128 tops = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    tops = _mm_max_ps(tops, _mm_movehl_ps(tops, tops));
    return _mm_cvtss_f32(_mm_max_ss(tops, _mm_movehdup_ps(tops)));
}
inline void store_as_int16(int16_t* to, Floats x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), packed);
}

inline Ints no_products() {
    return _mm256_setzero_si256();
}
inline Ints load_ints(const int16_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline void store_ints(int16_t* to, Ints x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x);
}
// Stores lanes × lanes pairs of numbers with rows and columns exchanged. The stride is in numbers.
inline void store_transposed(Ints (&rows)[8], int16_t* to, size_t to_stride) {
    Ints pairs[8];
    for (size_t i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        rows[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        rows[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        rows[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        rows[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for (size_t i = 0; i < 4; ++i) {
        store_ints(to + i * to_stride, _mm256_permute2x128_si256(rows[i], rows[i + 4], 0x20));
        store_ints(to + (i + 4) * to_stride, _mm256_permute2x128_si256(rows[i], rows[i + 4], 0x31));
    }
}
// The same bits.
inline Ints as_ints(Floats x) {
    return _mm256_castps_si256(x);
}
// Two numbers, repeated.
inline Ints broadcast_pair(const int16_t* from) {
    int32_t pair;
    __builtin_memcpy(&pair, from, sizeof(pair));
    return _mm256_set1_epi32(pair);
}
// sums + a · b, with two products added to each sum.
inline Ints add_products(Ints sums, Ints a, Ints b) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
}
inline Floats to_floats(Ints x) {
    return _mm256_cvtepi32_ps(x);
}
inline void keep_in_register(Floats& x) {
    asm("" : "+x"(x));
}
inline void keep_in_registers(Ints& a, Ints& b) {
    asm("" : "+x"(a), "+x"(b));
}

#include "kernels/kernels_generic.h"
// Uses definitions of kernels_generic.h; this line keeps clang-format from sorting them.
#include "kernels/kernels_attention.h"
#include "kernels/kernels_flash.h"
#include "kernels/kernels_pack.h"

} // namespace

const Kernels* avx2_kernels() {
    static const Kernels kernels{
        "avx2",
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

const xlc::Kernels* xlc::avx2_kernels() {
    return nullptr;
}

#endif
