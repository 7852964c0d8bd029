// The kernels over vectors of `lanes` numbers. Each version's file includes this once, after it defined
// `lanes`, Floats, Ints, n_tile_rows and the operations on them. Everything is in that file's unnamed
// namespace, and no function of the standard library is called. Otherwise the linker could keep the copy that
// was compiled for a newer processor as the only one.

constexpr size_t tile_vectors = 2;
constexpr size_t tile_width = tile_vectors * lanes;

constexpr size_t padded(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// eˣ for x ≤ 88, as 2ⁿ · e^r with |r| ≤ ln 2 / 2. The polynomial is the Taylor series up to the 7th power. In
// this range its remainder is below half a unit in the last place.
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

// x / (1 + e⁻ˣ), which is max(x, 0) − |x| e⁻ˡˣˡ / (1 + e⁻ˡˣˡ).
inline Floats silu(Floats x) {
    const Floats e = exponential(subtract(broadcast(0.0F), absolute(x)));
    const Floats below = divide(multiply(absolute(x), e), add(broadcast(1.0F), e));
    return subtract(maximum(x, broadcast(0.0F)), below);
}

void gate(float* rows, size_t stride, size_t n_rows, size_t n, Activation activation) {
    for (size_t row = 0; row < n_rows; ++row) {
        float* const values = rows + row * stride;
        for (size_t i = 0; i < n; i += lanes) {
            const Floats x = load(values + i);
            const Floats opening = activation == Activation::silu ? silu(x) : gelu(x);
            store(values + i, multiply(opening, load(values + n + i)));
        }
    }
}

template<size_t block_length, int largest_magnitude>
void quantize(const float* rows, size_t stride, size_t n_rows, size_t n, size_t n_padded, QuantizedRows out) {
    const size_t n_blocks = (n_padded + block_length - 1) / block_length;
    for (size_t row = 0; row < n_rows; ++row) {
        const float* in = rows + row * stride;
        int16_t* to = out.values + row * n_padded;
        for (size_t block = 0; block < n_blocks; ++block) {
            const size_t begin = block * block_length;
            const size_t end = begin + block_length < n ? begin + block_length : n;
            const size_t whole = begin < end ? begin + (end - begin) / lanes * lanes : begin;
            Floats largest = broadcast(0.0F);
            Floats zeros = broadcast(0.0F); // becomes NaN when a number is not finite
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
            const float scale = top > 0 ? static_cast<float>(largest_magnitude) / top : 0.0F;
            out.scales[row * n_blocks + block] = top / static_cast<float>(largest_magnitude) + zero;
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
template<size_t block_length, size_t n_rows>
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
        const size_t begin = block * block_length;
        const size_t end = begin + block_length < weights.n_in ? begin + block_length : weights.n_in;
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
                // Without this the compiler loads all rows first and then has no registers for the sums.
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

template<size_t block_length, size_t n_rows>
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
            multiply_tile<block_length, n_rows>(
                rows, weights, panel, panel_scales, bias, activation, out, stride);
        } else {
            multiply_last_rows<block_length, n_rows - 1>(
                n_left, rows, weights, panel, panel_scales, bias, activation, out, stride);
        }
    }
}

template<size_t block_length>
void multiply(
    QuantizedRows rows,
    size_t n_rows,
    const PackedView& weights,
    size_t first_panel,
    size_t end_panel,
    Activation activation,
    float* out,
    size_t stride) {
    // This many rows of input stay in the second-level cache while they are multiplied with all panels.
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
                multiply_tile<block_length, n_tile_rows>(
                    from(), weights, values, scales, bias, activation,
                    out + row * stride + panel * tile_width, stride);
            }
            multiply_last_rows<block_length, n_tile_rows - 1>(
                end - row, from(), weights, values, scales, bias, activation,
                out + row * stride + panel * tile_width, stride);
        }
    }
}

// Stores a fine block of `lanes` rows to its place in a panel.
inline void store_block(const int16_t* rows, size_t stride, int16_t* to) {
    for (size_t pair = 0; pair < fine_block / 2; pair += lanes) {
        Ints columns[lanes];
        for (size_t r = 0; r < lanes; ++r) {
            columns[r] = load_ints(rows + r * stride + 2 * pair);
        }
        store_transposed(columns, to + 2 * pair * tile_width, 2 * tile_width);
    }
}

void pack_finely(const float* rows, size_t stride, size_t n_rows, size_t n, int16_t* values, float* scales) {
    for (size_t begin = 0; begin < n; begin += fine_block) {
        for (size_t first = 0; first < tile_width; first += lanes) {
            alignas(64) int16_t block[lanes][fine_block];
            for (size_t r = 0; r < lanes; ++r) {
                const float* const row = rows + (first + r) * stride + begin;
                float top = 0;
                if (first + r < n_rows) {
                    Floats largest = absolute(load(row));
                    for (size_t i = lanes; i < fine_block; i += lanes) {
                        largest = maximum(largest, absolute(load(row + i)));
                    }
                    top = reduce_maximum(largest);
                }
                scales[first + r] = top / static_cast<float>(fine_max);
                const Floats scale = broadcast(top > 0 ? static_cast<float>(fine_max) / top : 0.0F);
                for (size_t i = 0; i < fine_block; i += lanes) {
                    store_as_int16(block[r] + i, top > 0 ? multiply(load(row + i), scale) : scale);
                }
            }
            store_block(block[0], fine_block, values + 2 * first);
        }
        values += fine_block * tile_width;
        scales += tile_width;
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
