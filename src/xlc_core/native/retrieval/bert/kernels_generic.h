// The kernels over vectors of `lanes` numbers. Included once by each version's file, which defines `lanes`,
// Floats, Ints, n_tile_rows and the operations on them. Everything is in that file's unnamed namespace, and
// nothing of the standard library is called: code compiled for a newer processor must not become the
// program's only copy.

constexpr size_t tile_vectors = 2;
constexpr size_t tile_width = tile_vectors * lanes;

constexpr size_t padded(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// eˣ for x ≤ 88, as 2ⁿ · e^r with |r| ≤ ln 2 / 2. The polynomial is the Taylor series to the 7th power, whose
// remainder is below half a unit in the last place there.
inline Floats exponential(Floats x) {
    x = maximum(x, broadcast(-87.0F));
    const Floats n = nearest(multiply(x, broadcast(1.44269504F)));
    // ln 2 in two parts, so that the difference keeps its last bits.
    Floats r = multiply_add(n, broadcast(-0.693359375F), x);
    r = multiply_add(n, broadcast(2.12194440e-4F), r);
    Floats sum = broadcast(1.0F / 5040);
    sum = multiply_add(sum, r, broadcast(1.0F / 720));
    sum = multiply_add(sum, r, broadcast(1.0F / 120));
    sum = multiply_add(sum, r, broadcast(1.0F / 24));
    sum = multiply_add(sum, r, broadcast(1.0F / 6));
    sum = multiply_add(sum, r, broadcast(0.5F));
    sum = multiply_add(sum, r, broadcast(1.0F));
    sum = multiply_add(sum, r, broadcast(1.0F));
    return times_power_of_two(sum, n);
}

// x · Φ(x), with the normal distribution's Φ from erf by Abramowitz and Stegun's formula 7.1.26, to 1.5e-7.
inline Floats gelu(Floats x) {
    const Floats z = multiply(absolute(x), broadcast(0.70710678F));
    const Floats t = divide(broadcast(1.0F), multiply_add(z, broadcast(0.3275911F), broadcast(1.0F)));
    Floats sum = broadcast(1.061405429F);
    sum = multiply_add(sum, t, broadcast(-1.453152027F));
    sum = multiply_add(sum, t, broadcast(1.421413741F));
    sum = multiply_add(sum, t, broadcast(-0.284496736F));
    sum = multiply_add(sum, t, broadcast(0.254829592F));
    // Half of erfc(|x| / √2), the tail beyond |x|.
    const Floats square = multiply(z, z);
    const Floats tail =
        multiply(multiply(multiply(sum, t), broadcast(0.5F)), exponential(subtract(broadcast(0.0F), square)));
    // x Φ(x) is max(x, 0) − |x| · tail.
    return subtract(maximum(x, broadcast(0.0F)), multiply(absolute(x), tail));
}

void quantize(const float* rows, size_t stride, size_t n_rows, size_t n, size_t n_padded, QuantizedRows out) {
    const size_t n_blocks = (n_padded + scale_block - 1) / scale_block;
    for (size_t row = 0; row < n_rows; ++row) {
        const float* in = rows + row * stride;
        int16_t* to = out.values + row * n_padded;
        for (size_t block = 0; block < n_blocks; ++block) {
            const size_t begin = block * scale_block;
            const size_t end = begin + scale_block < n ? begin + scale_block : n;
            const size_t whole = begin < end ? begin + (end - begin) / lanes * lanes : begin;
            Floats largest = broadcast(0.0F);
            Floats zeros = broadcast(0.0F); // or NaN, when a number is not finite
            for (size_t i = begin; i < whole; i += lanes) {
                const Floats x = load(in + i);
                largest = maximum(largest, absolute(x));
                zeros = multiply_add(x, broadcast(0.0F), zeros);
            }
            float top = reduce_maximum(largest);
            float zero = reduce_sum(zeros);
            for (size_t i = whole; i < end; ++i) {
                const float magnitude = in[i] < 0 ? -in[i] : in[i];
                top = magnitude > top ? magnitude : top;
                zero += in[i] * 0.0F;
            }
            const float scale = top > 0 ? static_cast<float>(activation_max) / top : 0.0F;
            out.scales[row * n_blocks + block] = top / static_cast<float>(activation_max) + zero;
            for (size_t i = begin; i < whole; i += lanes) {
                store_as_int16(to + i, multiply(load(in + i), broadcast(scale)));
            }
            for (size_t i = whole; i < end; ++i) {
                const float x = in[i] * scale;
                to[i] = static_cast<int16_t>(x < 0 ? x - 0.5F : x + 0.5F);
            }
        }
        for (size_t i = n; i < n_padded; ++i) {
            to[i] = 0;
        }
    }
}

// n_rows rows times one panel.
template<size_t n_rows>
void multiply_tile(
    QuantizedRows rows,
    const PackedView& weights,
    const int16_t* panel,
    const float* panel_scales,
    const float* bias,
    Activation activation,
    float* out,
    size_t stride) {
    Floats sums[n_rows][tile_vectors];
    for (size_t row = 0; row < n_rows; ++row) {
        for (size_t v = 0; v < tile_vectors; ++v) {
            sums[row][v] = load(bias + v * lanes);
        }
    }
    for (size_t block = 0; block < weights.n_blocks; ++block) {
        const size_t begin = block * scale_block;
        const size_t end = begin + scale_block < weights.n_in ? begin + scale_block : weights.n_in;
        Ints products[n_rows][tile_vectors];
        for (size_t row = 0; row < n_rows; ++row) {
            for (size_t v = 0; v < tile_vectors; ++v) {
                products[row][v] = no_products();
            }
        }
        const int16_t* weight = panel + begin * tile_width;
        const int16_t* const values = rows.values + begin;
        for (size_t i = 0; i < end - begin; i += 2) {
            const Ints w0 = load_ints(weight);
            const Ints w1 = load_ints(weight + 2 * lanes);
            weight += 2 * tile_width;
#pragma GCC unroll 16
            for (size_t row = 0; row < n_rows; ++row) {
                const Ints x = broadcast_pair(values + row * weights.n_in + i);
                products[row][0] = add_products(products[row][0], x, w0);
                products[row][1] = add_products(products[row][1], x, w1);
                // Left alone, the compiler loads all rows first and then has no registers for the sums.
                keep_in_registers(products[row][0], products[row][1]);
            }
        }
        const Floats scale0 = load(panel_scales + block * tile_width);
        const Floats scale1 = load(panel_scales + block * tile_width + lanes);
        for (size_t row = 0; row < n_rows; ++row) {
            const Floats scale = broadcast(rows.scales[row * weights.n_blocks + block]);
            sums[row][0] = multiply_add(to_floats(products[row][0]), multiply(scale, scale0), sums[row][0]);
            sums[row][1] = multiply_add(to_floats(products[row][1]), multiply(scale, scale1), sums[row][1]);
        }
    }
    for (size_t row = 0; row < n_rows; ++row) {
        for (size_t v = 0; v < tile_vectors; ++v) {
            const Floats sum = sums[row][v];
            store(out + row * stride + v * lanes, activation == Activation::gelu ? gelu(sum) : sum);
        }
    }
}

template<size_t n_rows>
void multiply_last_rows(
    size_t n_left,
    QuantizedRows rows,
    const PackedView& weights,
    const int16_t* panel,
    const float* panel_scales,
    const float* bias,
    Activation activation,
    float* out,
    size_t stride) {
    if constexpr (n_rows > 0) {
        if (n_left == n_rows) {
            multiply_tile<n_rows>(rows, weights, panel, panel_scales, bias, activation, out, stride);
        } else {
            multiply_last_rows<n_rows - 1>(
                n_left, rows, weights, panel, panel_scales, bias, activation, out, stride);
        }
    }
}

void multiply(
    QuantizedRows rows,
    size_t n_rows,
    const PackedView& weights,
    size_t first_panel,
    size_t end_panel,
    Activation activation,
    float* out,
    size_t stride) {
    // So many rows of input stay in the second-level cache while all panels pass.
    constexpr size_t n_cached_rows = n_tile_rows * 16;
    for (size_t begin = 0; begin < n_rows; begin += n_cached_rows) {
        const size_t end = begin + n_cached_rows < n_rows ? begin + n_cached_rows : n_rows;
        for (size_t panel = first_panel; panel < end_panel; ++panel) {
            const int16_t* const values = weights.values + panel * tile_width * weights.n_in;
            const float* const scales = weights.scales + panel * tile_width * weights.n_blocks;
            const float* const bias = weights.bias + panel * tile_width;
            size_t row = begin;
            const auto from = [&] {
                return QuantizedRows{rows.values + row * weights.n_in, rows.scales + row * weights.n_blocks};
            };
            for (; row + n_tile_rows <= end; row += n_tile_rows) {
                multiply_tile<n_tile_rows>(
                    from(), weights, values, scales, bias, activation,
                    out + row * stride + panel * tile_width, stride);
            }
            multiply_last_rows<n_tile_rows - 1>(
                end - row, from(), weights, values, scales, bias, activation,
                out + row * stride + panel * tile_width, stride);
        }
    }
}

constexpr size_t n_query_rows = 4; // queries that meet the keys together

size_t attention_scratch(size_t n_tokens, size_t head_dim) {
    const size_t n_keys = padded(n_tokens, tile_width);
    const size_t width = padded(head_dim, lanes);
    return head_dim * n_keys + n_tokens * width + n_query_rows * (n_keys + width);
}

// scores[row][key] = queries[row] · keys, for all keys; keys are transposed.
void score_keys(
    const float* queries, size_t width, size_t head_dim, const float* keys, size_t n_keys, float* scores) {
    for (size_t key = 0; key < n_keys; key += tile_width) {
        Floats sums[n_query_rows][2];
        for (auto& row : sums) {
            row[0] = row[1] = broadcast(0.0F);
        }
        for (size_t d = 0; d < head_dim; ++d) {
            const Floats k0 = load(keys + d * n_keys + key);
            const Floats k1 = load(keys + d * n_keys + key + lanes);
            for (size_t row = 0; row < n_query_rows; ++row) {
                const Floats q = broadcast(queries[row * width + d]);
                sums[row][0] = multiply_add(q, k0, sums[row][0]);
                sums[row][1] = multiply_add(q, k1, sums[row][1]);
            }
        }
        for (size_t row = 0; row < n_query_rows; ++row) {
            store(scores + row * n_keys + key, sums[row][0]);
            store(scores + row * n_keys + key + lanes, sums[row][1]);
        }
    }
}

// Softmax of a row of n_keys scores, of which the last are of no token and become 0.
void softmax(float* scores, size_t n_tokens, size_t n_keys) {
    for (size_t key = n_tokens; key < n_keys; ++key) {
        scores[key] = -1e30F;
    }
    Floats largest = load(scores);
    for (size_t key = lanes; key < n_keys; key += lanes) {
        largest = maximum(largest, load(scores + key));
    }
    const Floats top = broadcast(reduce_maximum(largest));
    Floats sums = broadcast(0.0F);
    for (size_t key = 0; key < n_keys; key += lanes) {
        const Floats e = exponential(subtract(load(scores + key), top));
        store(scores + key, e);
        sums = add(sums, e);
    }
    const Floats scale = broadcast(1.0F / reduce_sum(sums));
    for (size_t key = 0; key < n_keys; key += lanes) {
        store(scores + key, multiply(load(scores + key), scale));
    }
}

// n_rows of out = weights · values.
template<size_t n_vectors>
void mix_values(
    const float* weights, size_t n_keys, const float* values, size_t width, size_t n_tokens, float* out) {
    Floats sums[n_query_rows][n_vectors];
    for (auto& row : sums) {
        for (auto& sum : row) {
            sum = broadcast(0.0F);
        }
    }
    for (size_t token = 0; token < n_tokens; ++token) {
        Floats value[n_vectors];
        for (size_t v = 0; v < n_vectors; ++v) {
            value[v] = load(values + token * width + v * lanes);
        }
        for (size_t row = 0; row < n_query_rows; ++row) {
            const Floats weight = broadcast(weights[row * n_keys + token]);
            for (size_t v = 0; v < n_vectors; ++v) {
                sums[row][v] = multiply_add(weight, value[v], sums[row][v]);
            }
        }
    }
    for (size_t row = 0; row < n_query_rows; ++row) {
        for (size_t v = 0; v < n_vectors; ++v) {
            store(out + row * width + v * lanes, sums[row][v]);
        }
    }
}

void attend(
    const float* qkv,
    size_t stride,
    size_t n_embd,
    size_t n_tokens,
    size_t first_query,
    size_t end_query,
    size_t head_dim,
    float* out,
    size_t out_stride,
    float* scratch) {
    const size_t n_keys = padded(n_tokens, tile_width);
    const size_t width = padded(head_dim, lanes);
    float* const keys = scratch;
    float* const values = keys + head_dim * n_keys;
    float* const queries = values + n_tokens * width;
    float* const scores = queries + n_query_rows * width;
    for (size_t token = 0; token < n_tokens; ++token) {
        const float* const key = qkv + token * stride + n_embd;
        const float* const value = key + n_embd;
        for (size_t d = 0; d < head_dim; ++d) {
            keys[d * n_keys + token] = key[d];
            values[token * width + d] = value[d];
        }
        for (size_t d = head_dim; d < width; ++d) {
            values[token * width + d] = 0;
        }
    }
    for (size_t d = 0; d < head_dim; ++d) {
        for (size_t token = n_tokens; token < n_keys; ++token) {
            keys[d * n_keys + token] = 0;
        }
    }
    const float scale = 1.0F / square_root(static_cast<float>(head_dim));
    for (size_t first = first_query; first < end_query; first += n_query_rows) {
        const size_t n_rows = first + n_query_rows < end_query ? n_query_rows : end_query - first;
        for (size_t row = 0; row < n_query_rows; ++row) {
            // The last queries are repeated to fill the block.
            const float* const query = qkv + (first + (row < n_rows ? row : n_rows - 1)) * stride;
            for (size_t d = 0; d < head_dim; ++d) {
                queries[row * width + d] = query[d] * scale;
            }
        }
        score_keys(queries, width, head_dim, keys, n_keys, scores);
        for (size_t row = 0; row < n_query_rows; ++row) {
            softmax(scores + row * n_keys, n_tokens, n_keys);
        }
        // The mixed values take the queries' place.
        size_t d = 0;
        for (; d + 2 * lanes <= width; d += 2 * lanes) {
            mix_values<2>(scores, n_keys, values + d, width, n_tokens, queries + d);
        }
        if (d < width) {
            mix_values<1>(scores, n_keys, values + d, width, n_tokens, queries + d);
        }
        for (size_t row = 0; row < n_rows; ++row) {
            for (d = 0; d < head_dim; ++d) {
                out[(first + row) * out_stride + d] = queries[row * width + d];
            }
        }
    }
}

void add_and_normalize(
    float* rows,
    const float* added,
    size_t added_stride,
    size_t n_rows,
    size_t n,
    const float* weight,
    const float* bias,
    float epsilon) {
    const size_t whole = n / lanes * lanes;
    for (size_t row = 0; row < n_rows; ++row) {
        float* const x = rows + row * n;
        const float* const y = added ? added + row * added_stride : nullptr;
        Floats sums = broadcast(0.0F);
        float sum = 0;
        for (size_t i = 0; i < whole; i += lanes) {
            const Floats value = y ? add(load(x + i), load(y + i)) : load(x + i);
            store(x + i, value);
            sums = add(sums, value);
        }
        for (size_t i = whole; i < n; ++i) {
            x[i] += y ? y[i] : 0.0F;
            sum += x[i];
        }
        const float mean = (reduce_sum(sums) + sum) / static_cast<float>(n);
        Floats squares = broadcast(0.0F);
        float square = 0;
        for (size_t i = 0; i < whole; i += lanes) {
            const Floats distance = subtract(load(x + i), broadcast(mean));
            squares = multiply_add(distance, distance, squares);
        }
        for (size_t i = whole; i < n; ++i) {
            square += (x[i] - mean) * (x[i] - mean);
        }
        const float variance = (reduce_sum(squares) + square) / static_cast<float>(n);
        const float scale = 1.0F / square_root(variance + epsilon);
        for (size_t i = 0; i < whole; i += lanes) {
            const Floats distance = multiply(subtract(load(x + i), broadcast(mean)), broadcast(scale));
            store(x + i, multiply_add(distance, load(weight + i), load(bias + i)));
        }
        for (size_t i = whole; i < n; ++i) {
            x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
        }
    }
}
