// Panels of weights out of the layouts of ggml's types (ggml-common.h), without a detour through float32.
// Included by each version of the kernels, after kernels_generic.h.

// Inputs whose weights are unpacked together; every block of a ggml type divides it.
constexpr size_t packed_inputs = 256;

inline float half_at(const uint8_t* bytes) {
    uint16_t half;
    __builtin_memcpy(&half, bytes, sizeof(half));
    return _cvtsh_ss(half);
}

// Vectors of the compiler, which shifts them number by number.
using Bytes = uint8_t __attribute__((vector_size(16)));
using Shorts = int16_t __attribute__((vector_size(32)));

inline Bytes load_16(const uint8_t* from) {
    Bytes bytes;
    __builtin_memcpy(&bytes, from, sizeof(bytes));
    return bytes;
}

inline void store_16(int16_t* to, Shorts numbers) {
    __builtin_memcpy(to, &numbers, sizeof(numbers));
}

inline Shorts widen(Bytes bytes) {
    return __builtin_convertvector(bytes, Shorts);
}

// Unpackers write a row's next numbers as integers, and a scale for each fine block.

// A half as scale, then a byte for each of 32 numbers.
inline void unpack_q8_0(const uint8_t* from, size_t n, int16_t* to, float* scales) {
    for (size_t begin = 0; begin < n; begin += 32, from += 34, to += 32) {
        *scales++ = half_at(from);
        for (size_t i = 0; i < 32; ++i) {
            to[i] = static_cast<int8_t>(from[2 + i]);
        }
    }
}

// A half as scale, then 16 bytes; the lower halves of the bytes come first.
inline void unpack_q4_0(const uint8_t* from, size_t n, int16_t* to, float* scales) {
    for (size_t begin = 0; begin < n; begin += 32, from += 18, to += 32) {
        *scales++ = half_at(from);
        const Bytes bytes = load_16(from + 2);
        store_16(to, widen(bytes & 15) - 8);
        store_16(to + 16, widen(bytes >> 4) - 8);
    }
}

// Lower four bits of 256 numbers, upper two bits, 16 scales, and a half as scale of these.
inline void unpack_q6_k(const uint8_t* from, size_t n, int16_t* to, float* scales) {
    for (size_t begin = 0; begin < n; begin += 256, from += 210) {
        for (size_t block = 0; block < 8; ++block) {
            *scales++ = half_at(from + 208);
        }
        for (size_t half = 0; half < 2; ++half, to += 128) {
            const uint8_t* const low = from + 64 * half;
            const uint8_t* const high = from + 128 + 32 * half;
            for (size_t sixteen = 0; sixteen < 8; ++sixteen) { // numbers with the same scale
                const size_t first = 16 * (sixteen % 4);       // of 64 bytes of `low`
                const int low_shift = sixteen < 4 ? 0 : 4;
                const int high_shift = static_cast<int>(sixteen / 2) * 2;
                const auto scale = static_cast<int16_t>(static_cast<int8_t>(from[192 + 8 * half + sixteen]));
                const Bytes fours = (load_16(low + first) >> low_shift) & 15;
                const Bytes twos = (load_16(high + first % 32) >> high_shift) & 3;
                store_16(to + 16 * sixteen, (widen(fours | (twos << 4)) - 32) * scale);
            }
        }
    }
}

// The six bits of a scale and a minimum, of eight, which 12 bytes hold.
inline void read_scale(const uint8_t* from, size_t block, int& scale, int& minimum) {
    if (block < 4) {
        scale = from[block] & 63;
        minimum = from[block + 4] & 63;
    } else {
        scale = (from[block + 4] & 15) | ((from[block - 4] >> 6) << 4);
        minimum = (from[block + 4] >> 4) | ((from[block] >> 6) << 4);
    }
}

// Round factor · numbers − minimum, which are 32, to integers. Return their scale.
inline float round_block(const uint8_t* numbers, int largest, float factor, float minimum, int16_t* to) {
    const float last = factor * static_cast<float>(largest) - minimum;
    const float lowest = minimum < 0 ? -minimum : minimum;
    const float highest = last < 0 ? -last : last;
    const float top = lowest > highest ? lowest : highest;
    const float inverse = top > 0 ? static_cast<float>(fine_max) / top : 0.0F;
    const Floats slope = broadcast(factor * inverse);
    const Floats offset = broadcast(-minimum * inverse);
    for (size_t i = 0; i < fine_block; i += lanes) {
        store_as_int16(to + i, multiply_add(load_bytes(numbers + i), slope, offset));
    }
    return top / static_cast<float>(fine_max);
}

// Two halves as scales of scales and minima, these, for Q5_K a fifth bit of 256 numbers, and the lower four
// bits.
template<bool has_fifth_bit>
inline void unpack_q4_k(const uint8_t* from, size_t n, int16_t* to, float* scales) {
    constexpr size_t size = has_fifth_bit ? 176 : 144;
    constexpr int largest = has_fifth_bit ? 31 : 15;
    for (size_t begin = 0; begin < n; begin += 256, from += size) {
        const uint8_t* const high = from + 16;
        for (size_t block = 0; block < 8; ++block, to += fine_block) {
            int scale;
            int minimum;
            read_scale(from + 4, block, scale, minimum);
            const uint8_t* const low = from + (has_fifth_bit ? 48 : 16) + 32 * (block / 2);
            const int shift = block % 2 == 0 ? 0 : 4;
            alignas(64) uint8_t numbers[fine_block];
            for (size_t i = 0; i < fine_block; i += 16) {
                Bytes bytes = (load_16(low + i) >> shift) & 15;
                if (has_fifth_bit) {
                    bytes |= ((load_16(high + i) >> static_cast<int>(block)) & 1) << 4;
                }
                __builtin_memcpy(numbers + i, &bytes, sizeof(bytes));
            }
            *scales++ = round_block(
                numbers, largest, half_at(from) * static_cast<float>(scale),
                half_at(from + 2) * static_cast<float>(minimum), to);
        }
    }
}

using Unpack = void (*)(const uint8_t* from, size_t n, int16_t* to, float* scales);

Unpack unpacker_of(ggml_type type) {
    switch (type) {
    case GGML_TYPE_Q8_0:
        return unpack_q8_0;
    case GGML_TYPE_Q4_0:
        return unpack_q4_0;
    case GGML_TYPE_Q4_K:
        return unpack_q4_k<false>;
    case GGML_TYPE_Q5_K:
        return unpack_q4_k<true>;
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
    const Unpack unpack = unpacker_of(type);
    if (!unpack) {
        return false;
    }
    const size_t n_blocks = n / fine_block;
    for (size_t first = 0; first < tile_width; first += lanes) {
        alignas(64) int16_t unpacked[lanes][packed_inputs];
        for (size_t r = 0; r < lanes; ++r) {
            float row_scales[packed_inputs / fine_block] = {};
            if (first + r < n_rows) {
                const char* const row = rows + (first + r) * stride;
                unpack(reinterpret_cast<const uint8_t*>(row), n, unpacked[r], row_scales);
            } else {
                __builtin_memset(unpacked[r], 0, sizeof(unpacked[r]));
            }
            for (size_t block = 0; block < n_blocks; ++block) {
                scales[block * tile_width + first + r] = row_scales[block];
            }
        }
        for (size_t pair = 0; pair < n / 2; pair += lanes) {
            Ints columns[lanes];
            for (size_t r = 0; r < lanes; ++r) {
                columns[r] = load_ints(unpacked[r] + 2 * pair);
            }
            store_transposed(columns, values + 2 * (pair * tile_width + first), 2 * tile_width);
        }
    }
    return true;
}
