// Attention over vectors of `lanes` numbers. Included after kernels_generic.h, in the same way.

constexpr size_t n_query_rows = 4; // queries that are multiplied with the keys together

size_t attention_scratch(size_t n_tokens, size_t head_dim) {
    const size_t n_keys = padded(n_tokens, tile_width);
    const size_t width = padded(head_dim, lanes);
    return head_dim * n_keys + n_tokens * width + n_query_rows * (n_keys + width);
}

// scores[row][key] = queries[row] · keys, for the keys [begin, end); keys are transposed.
void score_keys(
    const float* queries,
    size_t width,
    size_t head_dim,
    const float* keys,
    size_t n_keys,
    size_t begin,
    size_t end,
    float* scores) {
    for (size_t key = begin; key < end; key += tile_width) {
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

// Attention with linear biases (Press et al., 2022, arXiv 2108.12409), to both sides.
void lower_by_distance(float* scores, size_t begin, size_t end, size_t query, float slope) {
    for (size_t key = begin; key < end; ++key) {
        const size_t distance = key > query ? key - query : query - key;
        scores[key] -= slope * static_cast<float>(static_cast<int>(distance));
    }
}

// Softmax of n scores. Scores before `begin` and from `end` on do not count and become 0.
void softmax(float* scores, size_t begin, size_t end, size_t n) {
    for (size_t key = 0; key < begin; ++key) {
        scores[key] = -1e30F;
    }
    for (size_t key = end; key < n; ++key) {
        scores[key] = -1e30F;
    }
    Floats largest = load(scores);
    for (size_t key = lanes; key < n; key += lanes) {
        largest = maximum(largest, load(scores + key));
    }
    const Floats top = broadcast(reduce_maximum(largest));
    Floats sums = broadcast(0.0F);
    for (size_t key = 0; key < n; key += lanes) {
        const Floats e = exponential(subtract(load(scores + key), top));
        store(scores + key, e);
        sums = add(sums, e);
    }
    const Floats scale = broadcast(1.0F / reduce_sum(sums));
    for (size_t key = 0; key < n; key += lanes) {
        store(scores + key, multiply(load(scores + key), scale));
    }
}

// n_rows of out = weights · values.
template<size_t n_vectors>
void mix_values(
    const float* weights,
    size_t n_keys,
    const float* values,
    size_t width,
    size_t begin,
    size_t end,
    float* out) {
    Floats sums[n_query_rows][n_vectors];
    for (auto& row : sums) {
        for (auto& sum : row) {
            sum = broadcast(0.0F);
        }
    }
    for (size_t token = begin; token < end; ++token) {
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
    size_t window,
    float slope,
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
        // The keys that at least one of these queries attends to, and the same range in whole vectors.
        const size_t last = first + n_rows - 1;
        const size_t begin = first > window ? first - window : 0;
        const size_t end = n_tokens - last > window ? last + window + 1 : n_tokens;
        const size_t begin_vector = begin / tile_width * tile_width;
        const size_t end_vector = padded(end, tile_width);
        score_keys(queries, width, head_dim, keys, n_keys, begin_vector, end_vector, scores);
        for (size_t row = 0; row < n_query_rows; ++row) {
            const size_t query = first + (row < n_rows ? row : n_rows - 1);
            const size_t row_begin = query > window ? query - window : 0;
            const size_t row_end = n_tokens - query > window ? query + window + 1 : n_tokens;
            if (slope != 0) {
                lower_by_distance(scores + row * n_keys, begin_vector, end_vector, query, slope);
            }
            softmax(
                scores + row * n_keys + begin_vector, row_begin - begin_vector, row_end - begin_vector,
                end_vector - begin_vector);
        }
        // From here on, `queries` holds the mixed values.
        size_t d = 0;
        for (; d + 2 * lanes <= width; d += 2 * lanes) {
            mix_values<2>(scores, n_keys, values + d, width, begin, end, queries + d);
        }
        if (d < width) {
            mix_values<1>(scores, n_keys, values + d, width, begin, end, queries + d);
        }
        for (size_t row = 0; row < n_rows; ++row) {
            for (d = 0; d < head_dim; ++d) {
                out[(first + row) * out_stride + d] = queries[row * width + d];
            }
        }
    }
}
