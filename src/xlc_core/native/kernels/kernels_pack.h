// Panels of weights out of the layouts of ggml's types: 16-bit integers with a scale for each fine block,
// without a detour through float32.
// Included by each version's file after kernels_generic.h, with AVX2 and F16C. The layouts are those of GGUF
// files (ggml-common.h of llama.cpp).
//
// Where a weight is a scale times an integer, the integers are exact. Where it is scale · q + least, with few
// different q, it is rounded to the 13 bits of a fine block, as if it came from float32.

constexpr size_t unpacked_slice = 256; // most numbers that are unpacked at once

inline float half(const char* from) {
    uint16_t bits;
    __builtin_memcpy(&bits, from, sizeof(bits));
    return _cvtsh_ss(bits);
}

inline __m128i load16(const char* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
inline __m256i load32(const char* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline void store_widened(int16_t* to, __m128i x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepi8_epi16(x));
}
inline void store_widened(int16_t* to, __m256i x) {
    store_widened(to, _mm256_castsi256_si128(x));
    store_widened(to + 16, _mm256_extracti128_si256(x, 1));
}

// 16 bytes with two numbers of 4 bits each: the lower ones are the first 16, the upper ones the others.
inline __m256i nibbles(const char* from) {
    const __m128i pairs = load16(from);
    const __m256i both = _mm256_set_m128i(_mm_srli_epi16(pairs, 4), pairs);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
// 16 in each byte whose bit is set.
inline __m256i fifth_bits(const char* from) {
    int32_t bits;
    __builtin_memcpy(&bits, from, sizeof(bits));
    const __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits),
        _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
    const __m256i one_each = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, one_each), one_each);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

// scale · q + least as integers, for q of `bits` bits: (q · factor) >> bits, plus offset.
struct Line {
    int16_t factor;
    int16_t offset;
};
template<int bits> inline Line line(float scale, float least, float& scale_of_integers) {
    constexpr auto most = static_cast<float>((1 << bits) - 1);
    const float greatest = scale * most + least;
    const float a = least < 0 ? -least : least;
    const float b = greatest < 0 ? -greatest : greatest;
    // A number that is not finite stays visible.
    const float top = (a > b ? a : b) + 0.0F * (scale + least);
    const float factor = top > 0 ? static_cast<float>(fine_max) / top : 0.0F;
    scale_of_integers = top / static_cast<float>(fine_max);
    return {
        static_cast<int16_t>(_mm_cvtss_si32(_mm_set_ss(scale * factor * static_cast<float>(1 << bits)))),
        static_cast<int16_t>(_mm_cvtss_si32(_mm_set_ss(least * factor)))};
}
template<int bits> inline void store_on_line(int16_t* to, __m256i q, const Line& line) {
    const __m256i factor = _mm256_set1_epi16(line.factor);
    const __m256i offset = _mm256_set1_epi16(line.offset);
    const auto values = [&](__m128i part) {
        const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepu8_epi16(part), 15 - bits);
        return _mm256_add_epi16(_mm256_mulhrs_epi16(shifted, factor), offset);
    };
    auto* const out = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(out, values(_mm256_castsi256_si128(q)));
    _mm256_storeu_si256(out + 1, values(_mm256_extracti128_si256(q, 1)));
}

// Blocks of 32: n is a multiple.

void unpack_q8_0(const char* from, size_t n, int16_t* to, float* scales) {
    for (size_t i = 0; i < n; i += 32, from += 34) {
        *scales++ = half(from);
        store_widened(to + i, load32(from + 2));
    }
}

void unpack_q4_0(const char* from, size_t n, int16_t* to, float* scales) {
    for (size_t i = 0; i < n; i += 32, from += 18) {
        *scales++ = half(from);
        store_widened(to + i, _mm256_sub_epi8(nibbles(from + 2), _mm256_set1_epi8(8)));
    }
}

void unpack_q5_0(const char* from, size_t n, int16_t* to, float* scales) {
    for (size_t i = 0; i < n; i += 32, from += 22) {
        *scales++ = half(from);
        const __m256i q = _mm256_or_si256(nibbles(from + 6), fifth_bits(from + 2));
        store_widened(to + i, _mm256_sub_epi8(q, _mm256_set1_epi8(16)));
    }
}

void unpack_q4_1(const char* from, size_t n, int16_t* to, float* scales) {
    for (size_t i = 0; i < n; i += 32, from += 20) {
        const Line found = line<4>(half(from), half(from + 2), *scales++);
        store_on_line<4>(to + i, nibbles(from + 4), found);
    }
}

void unpack_q5_1(const char* from, size_t n, int16_t* to, float* scales) {
    for (size_t i = 0; i < n; i += 32, from += 24) {
        const Line found = line<5>(half(from), half(from + 2), *scales++);
        store_on_line<5>(to + i, _mm256_or_si256(nibbles(from + 8), fifth_bits(from + 4)), found);
    }
}

// Blocks of 256, which are the slice.

// The lines of the 8 blocks of 32 in a block of Q4_K or Q5_K.
struct EightLines {
    alignas(16) int16_t factors[8];
    alignas(16) int16_t offsets[8];

    Line operator[](size_t i) const { return {factors[i], offsets[i]}; }
};
template<int bits> inline EightLines lines(const char* from, float* scales) {
    // 8 factors and 8 offsets of 6 bits in 12 bytes. The first four of each lie in the lower bits of 4 bytes.
    // Of the others 4 bits lie in the last bytes, and 2 above the first ones.
    uint32_t packed[3];
    __builtin_memcpy(packed, from + 4, sizeof(packed));
    const __m128i bytes = _mm_set_epi32(
        static_cast<int>(((packed[2] >> 4) & 0x0F0F0F0F) | ((packed[1] >> 2) & 0x30303030)),
        static_cast<int>(packed[1] & 0x3F3F3F3F),
        static_cast<int>((packed[2] & 0x0F0F0F0F) | ((packed[0] >> 2) & 0x30303030)),
        static_cast<int>(packed[0] & 0x3F3F3F3F));
    const auto floats = [](__m128i from) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(from)); };
    const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(half(from)), floats(bytes));
    const __m256 least = _mm256_mul_ps(_mm256_set1_ps(-half(from + 2)), floats(_mm_srli_si128(bytes, 8)));
    constexpr auto most = static_cast<float>((1 << bits) - 1);
    const __m256 greatest = _mm256_fmadd_ps(scale, _mm256_set1_ps(most), least);
    const __m256 sign = _mm256_set1_ps(-0.0F);
    const __m256 zero = _mm256_setzero_ps();
    __m256 top = _mm256_max_ps(_mm256_andnot_ps(sign, least), _mm256_andnot_ps(sign, greatest));
    // A number that is not finite stays visible.
    top = _mm256_add_ps(top, _mm256_mul_ps(zero, _mm256_add_ps(scale, least)));
    const __m256 is_used = _mm256_cmp_ps(top, zero, _CMP_GT_OQ);
    const __m256 factor =
        _mm256_and_ps(is_used, _mm256_div_ps(_mm256_set1_ps(static_cast<float>(fine_max)), top));
    _mm256_storeu_ps(scales, _mm256_mul_ps(top, _mm256_set1_ps(1.0F / static_cast<float>(fine_max))));
    const __m256i factors = _mm256_cvtps_epi32(
        _mm256_mul_ps(_mm256_mul_ps(scale, factor), _mm256_set1_ps(static_cast<float>(1 << bits))));
    const __m256i offsets = _mm256_cvtps_epi32(_mm256_mul_ps(least, factor));
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(factors, offsets), 0xD8);
    EightLines found;
    _mm_store_si128(reinterpret_cast<__m128i*>(found.factors), _mm256_castsi256_si128(both));
    _mm_store_si128(reinterpret_cast<__m128i*>(found.offsets), _mm256_extracti128_si256(both, 1));
    return found;
}

void unpack_q4_k(const char* from, size_t, int16_t* to, float* scales) {
    const EightLines found = lines<4>(from, scales);
    const __m256i low = _mm256_set1_epi8(15);
    for (size_t i = 0; i < 8; i += 2) {
        const __m256i pairs = load32(from + 16 + 16 * i);
        store_on_line<4>(to + 32 * i, _mm256_and_si256(pairs, low), found[i]);
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), low);
        store_on_line<4>(to + 32 * (i + 1), upper, found[i + 1]);
    }
}

void unpack_q5_k(const char* from, size_t, int16_t* to, float* scales) {
    const EightLines found = lines<5>(from, scales);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i fifth = _mm256_set1_epi8(16);
    __m256i bits = load32(from + 16); // bit i belongs to block i
    const auto next_fifth = [&] {
        const __m256i is_set = _mm256_and_si256(bits, _mm256_set1_epi8(1));
        bits = _mm256_srli_epi16(bits, 1);
        return _mm256_and_si256(_mm256_slli_epi16(is_set, 4), fifth);
    };
    for (size_t i = 0; i < 8; i += 2) {
        const __m256i pairs = load32(from + 48 + 16 * i);
        const __m256i lower = _mm256_and_si256(pairs, low);
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), low);
        store_on_line<5>(to + 32 * i, _mm256_or_si256(lower, next_fifth()), found[i]);
        store_on_line<5>(to + 32 * (i + 1), _mm256_or_si256(upper, next_fifth()), found[i + 1]);
    }
}

// 16 blocks of 16: the integers are those of the weights times those of their block.
void unpack_q6_k(const char* from, size_t, int16_t* to, float* scales) {
    const char* const upper_bits = from + 128;
    const auto* const factors = reinterpret_cast<const int8_t*>(from + 192);
    const float scale = half(from + 208);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i two = _mm256_set1_epi8(48);
    for (size_t i = 0; i < 8; ++i) {
        const size_t group = i / 4; // of 128 numbers
        const size_t part = i % 4;
        const __m256i four_bits = load32(from + 64 * group + 32 * (part % 2));
        const __m256i nibble = _mm256_and_si256(part < 2 ? four_bits : _mm256_srli_epi16(four_bits, 4), low);
        const __m128i by = _mm_cvtsi32_si128(static_cast<int>(2 * part));
        const __m256i shifted = _mm256_srl_epi16(load32(upper_bits + 32 * group), by);
        const __m256i upper = _mm256_and_si256(_mm256_slli_epi16(shifted, 4), two);
        const __m256i q = _mm256_sub_epi8(_mm256_or_si256(nibble, upper), _mm256_set1_epi8(32));
        auto* const out = reinterpret_cast<__m256i*>(to + 32 * i);
        _mm256_storeu_si256(
            out, _mm256_mullo_epi16(
                     _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)), _mm256_set1_epi16(factors[2 * i])));
        _mm256_storeu_si256(
            out + 1,
            _mm256_mullo_epi16(
                _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)), _mm256_set1_epi16(factors[2 * i + 1])));
        scales[i] = scale;
    }
}

using Unpack = void (*)(const char* from, size_t n, int16_t* to, float* scales);

inline Unpack unpacker(ggml_type type) {
    switch (type) {
    case GGML_TYPE_Q8_0:
        return unpack_q8_0;
    case GGML_TYPE_Q4_0:
        return unpack_q4_0;
    case GGML_TYPE_Q4_1:
        return unpack_q4_1;
    case GGML_TYPE_Q5_0:
        return unpack_q5_0;
    case GGML_TYPE_Q5_1:
        return unpack_q5_1;
    case GGML_TYPE_Q4_K:
        return unpack_q4_k;
    case GGML_TYPE_Q5_K:
        return unpack_q5_k;
    case GGML_TYPE_Q6_K:
        return unpack_q6_k;
    default:
        return nullptr;
    }
}

bool pack_weights(
    ggml_type type,
    const char* rows,
    size_t stride,
    size_t n_rows,
    size_t n,
    int16_t* values,
    float* scales) {
    const Unpack unpack = unpacker(type);
    if (!unpack) {
        return false;
    }
    alignas(64) int16_t unpacked[lanes][unpacked_slice];
    float unpacked_scales[lanes][unpacked_slice / fine_block];
    for (size_t first = 0; first < tile_width; first += lanes) {
        for (size_t r = 0; r < lanes; ++r) {
            if (first + r < n_rows) {
                unpack(rows + (first + r) * stride, n, unpacked[r], unpacked_scales[r]);
            } else {
                __builtin_memset(unpacked[r], 0, sizeof(unpacked[r]));
                __builtin_memset(unpacked_scales[r], 0, sizeof(unpacked_scales[r]));
            }
        }
        for (size_t block = 0; block < n / fine_block; ++block) {
            for (size_t r = 0; r < lanes; ++r) {
                scales[block * tile_width + first + r] = unpacked_scales[r][block];
            }
            const size_t begin = block * fine_block;
            store_block(unpacked[0] + begin, unpacked_slice, values + begin * tile_width + 2 * first);
        }
    }
    return true;
}
