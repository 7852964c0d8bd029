// One step of flash attention over vectors of `lanes` numbers. Included after kernels_generic.h, in the same
// way.

constexpr size_t step_vectors = lanes == 16 ? 4 : 2; // sums of a row that are in registers
constexpr size_t step_rows = lanes == 16 ? 4 : 6;

inline void store_transposed(const Floats (&rows)[lanes], float* to, size_t to_stride) {
    Ints pairs[lanes];
    for (size_t i = 0; i < lanes; ++i) {
        pairs[i] = as_ints(rows[i]);
    }
    store_transposed(pairs, reinterpret_cast<int16_t*>(to), 2 * to_stride);
}

void transpose(const float* rows, size_t stride, size_t n, float* to, size_t to_stride) {
    for (size_t i = 0; i < n; i += lanes) {
        Floats columns[lanes];
        for (size_t row = 0; row < lanes; ++row) {
            columns[row] = load(rows + row * stride + i);
        }
        store_transposed(columns, to + i * to_stride, to_stride);
    }
}

void transpose_halves(const uint16_t* const* rows, size_t n, float* to, size_t to_stride) {
    for (size_t i = 0; i < n; i += lanes) {
        Floats columns[lanes];
        for (size_t row = 0; row < lanes; ++row) {
            columns[row] = load_halves(rows[row] + i);
        }
        store_transposed(columns, to + i * to_stride, to_stride);
    }
}

void halves_to_floats(const uint16_t* const* rows, size_t n_rows, size_t n, float* to, size_t to_stride) {
    for (size_t row = 0; row < n_rows; ++row) {
        for (size_t i = 0; i < n; i += lanes) {
            store(to + row * to_stride + i, load_halves(rows[row] + i));
        }
    }
}

void row_of_halves(const uint16_t* row, size_t n, float* to) {
    const size_t n_whole = n / lanes * lanes;
    halves_to_floats(&row, 1, n_whole, to, n_whole);
    if (n_whole == n) {
        return;
    }
    uint16_t rest[lanes] = {};
    for (size_t i = n_whole; i < n; ++i) {
        rest[i - n_whole] = row[i];
    }
    float floats[lanes];
    store(floats, load_halves(rest));
    for (size_t i = n_whole; i < n; ++i) {
        to[i] = floats[i - n_whole];
    }
}

// The upper half of a float32.
void row_of_bfloats(const uint16_t* row, size_t n, float* to) {
    for (size_t i = 0; i < n; ++i) {
        const uint32_t bits = uint32_t{row[i]} << 16;
        __builtin_memcpy(to + i, &bits, sizeof(bits));
    }
}

// Set the bits of the keys whose mask is not minus infinity. n is a multiple of 32.
void find_visible(const uint16_t* mask, size_t n, uint32_t* bits) {
    const Floats least = broadcast(-__builtin_inff());
    for (size_t key = 0; key < n; key += 32) {
        uint32_t word = 0;
        for (size_t i = 0; i < 32; i += lanes) {
            word |= greater(load_halves(mask + key + i), least) << i;
        }
        bits[key / 32] = word;
    }
}

// n_rows rows of scores = queries · keys.
template<size_t n_rows> void score_rows(const QueryRows& rows, size_t first, const float* keys) {
    for (size_t key = 0; key < key_block; key += step_vectors * lanes) {
        Floats sums[n_rows][step_vectors];
#pragma GCC unroll 16
        for (size_t row = 0; row < n_rows; ++row) {
#pragma GCC unroll 16
            for (size_t v = 0; v < step_vectors; ++v) {
                sums[row][v] = broadcast(0.0F);
            }
        }
        const float* const queries = rows.queries + first * rows.key_width;
        for (size_t d = 0; d < rows.n_dims; ++d) {
            Floats k[step_vectors];
#pragma GCC unroll 16
            for (size_t v = 0; v < step_vectors; ++v) {
                k[v] = load(keys + d * key_block + key + v * lanes);
                keep_in_register(k[v]);
            }
#pragma GCC unroll 16
            for (size_t row = 0; row < n_rows; ++row) {
                const Floats q = broadcast(queries[row * rows.key_width + d]);
#pragma GCC unroll 16
                for (size_t v = 0; v < step_vectors; ++v) {
                    sums[row][v] = multiply_add(q, k[v], sums[row][v]);
                }
            }
        }
#pragma GCC unroll 16
        for (size_t row = 0; row < n_rows; ++row) {
#pragma GCC unroll 16
            for (size_t v = 0; v < step_vectors; ++v) {
                store(rows.scores + (first + row) * key_block + key + v * lanes, sums[row][v]);
            }
        }
    }
}

inline Floats hyperbolic_tangent(Floats x) {
    const Floats one = broadcast(1.0F);
    const Floats size = absolute(x);
    const Floats e = exponential(multiply(size, broadcast(-2.0F)));
    const Floats sign = divide(x, maximum(size, broadcast(1e-30F)));
    return multiply(sign, divide(subtract(one, e), add(one, e)));
}

// Turn a row's scores into weights relative to the largest score so far. Return the factor that makes the
// weights of earlier keys relative to it too.
float weigh_row(const QueryRows& rows, size_t row) {
    constexpr size_t n_vectors = key_block / lanes;
    float* const scores = rows.scores + row * key_block;
    const uint16_t* const mask = rows.masks[row];
    Floats x[n_vectors];
    for (size_t v = 0; v < n_vectors; ++v) {
        x[v] = load(scores + v * lanes);
        if (rows.softcap != 0) {
            x[v] = multiply(broadcast(rows.softcap), hyperbolic_tangent(x[v]));
        }
        if (mask) {
            x[v] = multiply_add(broadcast(rows.slopes[row]), load_halves(mask + v * lanes), x[v]);
        }
    }
    Floats largest = x[0];
    for (size_t v = 1; v < n_vectors; ++v) {
        largest = maximum(largest, x[v]);
    }
    const float before = rows.maxima[row];
    const float now = reduce_maximum(largest);
    if (now == -__builtin_inff()) {
        for (size_t v = 0; v < n_vectors; ++v) {
            store(scores + v * lanes, broadcast(0.0F));
        }
        return 1;
    }
    const float top = before > now ? before : now;
    const float factor = first_of(exponential(broadcast(before - top)));
    Floats sums = broadcast(top * 0.0F); // NaN if a score is not a number
    for (size_t v = 0; v < n_vectors; ++v) {
        const Floats e = exponential(subtract(x[v], broadcast(top)));
        store(scores + v * lanes, e);
        sums = add(sums, e);
    }
    rows.maxima[row] = top;
    rows.sums[row] = rows.sums[row] * factor + reduce_sum(sums);
    return factor;
}

// n_rows rows of mixed = mixed · factor + weights · values, for n_vectors vectors from `begin` on.
template<size_t n_rows, size_t n_vectors>
void mix_columns(
    const QueryRows& rows, size_t first, const float* values, const float* factors, size_t begin) {
    float* const mixed = rows.mixed + first * rows.value_width + begin;
    const float* const weights = rows.scores + first * key_block;
    Floats sums[n_rows][n_vectors];
#pragma GCC unroll 16
    for (size_t row = 0; row < n_rows; ++row) {
        const Floats factor = broadcast(factors[first + row]);
#pragma GCC unroll 16
        for (size_t v = 0; v < n_vectors; ++v) {
            sums[row][v] = multiply(factor, load(mixed + row * rows.value_width + v * lanes));
        }
    }
    for (size_t key = 0; key < key_block; ++key) {
        Floats value[n_vectors];
#pragma GCC unroll 16
        for (size_t v = 0; v < n_vectors; ++v) {
            value[v] = load(values + key * rows.value_width + begin + v * lanes);
            keep_in_register(value[v]);
        }
#pragma GCC unroll 16
        for (size_t row = 0; row < n_rows; ++row) {
            const Floats weight = broadcast(weights[row * key_block + key]);
#pragma GCC unroll 16
            for (size_t v = 0; v < n_vectors; ++v) {
                sums[row][v] = multiply_add(weight, value[v], sums[row][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (size_t row = 0; row < n_rows; ++row) {
#pragma GCC unroll 16
        for (size_t v = 0; v < n_vectors; ++v) {
            store(mixed + row * rows.value_width + v * lanes, sums[row][v]);
        }
    }
}

template<size_t n_rows>
void mix_rows(const QueryRows& rows, size_t first, const float* values, const float* factors) {
    size_t begin = 0;
    for (; begin + step_vectors * lanes <= rows.value_width; begin += step_vectors * lanes) {
        mix_columns<n_rows, step_vectors>(rows, first, values, factors, begin);
    }
    for (; begin < rows.value_width; begin += lanes) {
        mix_columns<n_rows, 1>(rows, first, values, factors, begin);
    }
}

template<size_t n_rows> void score_from(const QueryRows& rows, size_t first, const float* keys) {
    for (; first + n_rows <= rows.n; first += n_rows) {
        score_rows<n_rows>(rows, first, keys);
    }
    if constexpr (n_rows > 1) {
        score_from<n_rows - 1>(rows, first, keys);
    }
}

template<size_t n_rows>
void mix_from(const QueryRows& rows, size_t first, const float* values, const float* factors) {
    for (; first + n_rows <= rows.n; first += n_rows) {
        mix_rows<n_rows>(rows, first, values, factors);
    }
    if constexpr (n_rows > 1) {
        mix_from<n_rows - 1>(rows, first, values, factors);
    }
}

void attend_to_block(const QueryRows& rows, const float* keys, const float* values) {
    float factors[most_query_rows];
    score_from<step_rows>(rows, 0, keys);
    for (size_t row = 0; row < rows.n; ++row) {
        factors[row] = weigh_row(rows, row);
    }
    mix_from<step_rows>(rows, 0, values, factors);
}
