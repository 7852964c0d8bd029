#include "retrieval/retrieval_task.h"
#include "support/errors.h"

#include <algorithm>
#include <utility>

namespace xlc {

EmbedTask::EmbedTask(RetrievalKind kind, std::vector<std::string> texts, EmbedOptions options, int n_threads)
    : RetrievalTask(kind, std::move(texts), n_threads), options_(std::move(options)) {}

void EmbedTask::begin(const Encoder& encoder) {
    const RetrievalTraits& traits = encoder.traits();
    if (job()->kind() == RetrievalKind::embed) {
        traits.require_pooling();
    } else {
        traits.require_embedding();
    }
    if (options_.dimensions < 0 || static_cast<size_t>(options_.dimensions) > traits.n_dims) {
        throw Error(
            ErrorKind::invalid_request, "dimensions=" + std::to_string(options_.dimensions) +
                                            " is not possible: model " + traits.name + " has " +
                                            std::to_string(traits.n_dims) + "; give 1 to " +
                                            std::to_string(traits.n_dims) + ", or None for all");
    }
    n_dims_ = options_.dimensions > 0 ? static_cast<size_t>(options_.dimensions) : traits.n_dims;
    n_prefix_tokens_ = encoder.tokenizer().count_before(options_.prefix);
}

TokenSequence EmbedTask::tokenize(const Encoder& encoder, size_t index, const std::string& text) const {
    const Tokenizer& tokenizer = encoder.tokenizer();
    const Tokens& before = tokenizer.before();
    const Tokens& after = tokenizer.after();
    const size_t place = options_.first_index + index;
    const size_t limit = encoder.limit();
    const size_t n_fixed = before.size() + n_prefix_tokens_ + after.size();
    const bool truncates = options_.truncate != Truncate::error && n_fixed < limit;

    size_t n_first = SIZE_MAX;
    size_t n_last = 0;
    if (truncates && options_.truncate == Truncate::end) {
        n_first = limit - before.size() - after.size();
    } else if (truncates) {
        n_first = n_prefix_tokens_;
        n_last = limit - n_fixed;
    }
    TokenSequence sequence;
    sequence.tokens = before;
    append(
        sequence.tokens, options_.prefix.empty()
                             ? tokenizer.ends(text, n_first, n_last, stop_when_over())
                             : tokenizer.ends(options_.prefix + text, n_first, n_last, stop_when_over()));
    append(sequence.tokens, after);

    const size_t n_tokens = sequence.tokens.size();
    if (n_tokens == 0) {
        throw Error(
            ErrorKind::invalid_request, "text " + std::to_string(place) +
                                            " is empty, and this model puts no special tokens around a text, "
                                            "so there is nothing to embed; leave it out");
    }
    if (n_tokens > limit) {
        throw Error::input_too_long(
            "text " + std::to_string(place) + " has " + std::to_string(n_tokens) + " tokens, more than the " +
                std::to_string(limit) +
                (options_.truncate == Truncate::error
                     ? " that the model takes; split it, pass truncate=\"end\", or use a model with more "
                       "context"
                     : " that the model takes, and its prefix and special tokens alone fill them; "
                       "shorten the prefix, or set a larger n_ctx"),
            static_cast<int64_t>(place), static_cast<int64_t>(n_tokens), static_cast<int64_t>(limit));
    }
    return sequence;
}

void EmbedTask::allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) {
    result.n_dims = n_dims_;
    size_t n_rows = sequences.size();
    if (job()->kind() == RetrievalKind::embed_tokens) {
        n_rows = 0;
        for (const TokenSequence& sequence : sequences) {
            result.row_offsets.push_back(n_rows);
            n_rows += sequence.tokens.size();
        }
        result.row_offsets.push_back(n_rows);
    }
    result.values.resize(n_rows * n_dims_);
}

void EmbedTask::begin_batch(const Encoder& encoder, const MicroBatch& batch, RetrievalResult& result) {
    poolers_.clear();
    if (job()->kind() == RetrievalKind::embed) {
        for (const size_t index : batch) {
            float* vector = result.values.data() + index * n_dims_;
            std::fill_n(vector, n_dims_, 0.0F); // a micro-batch that failed may have begun it
            poolers_.emplace_back(encoder.traits().pooling, vector, n_dims_);
        }
    }
}

void EmbedTask::write(
    size_t slot,
    size_t index,
    size_t first,
    const float* rows,
    size_t n_rows,
    size_t stride,
    RetrievalResult& result) {
    if (!poolers_.empty()) {
        poolers_[slot].add(first, rows, n_rows, stride);
        return;
    }
    for (size_t row = 0; row < n_rows; ++row) {
        float* vector = result.values.data() + (result.row_offsets[index] + first + row) * n_dims_;
        std::copy_n(rows + row * stride, n_dims_, vector);
        finish_vector(vector, index);
    }
}

void EmbedTask::end_batch(const MicroBatch& batch, RetrievalResult& result) {
    for (size_t slot = 0; slot < poolers_.size(); ++slot) {
        poolers_[slot].finish();
        finish_vector(result.values.data() + batch[slot] * n_dims_, batch[slot]);
    }
}

void EmbedTask::finish_vector(float* vector, size_t index) const {
    if (options_.normalize ? normalize(vector, n_dims_) : is_finite(vector, n_dims_)) {
        return;
    }
    throw Error(
        ErrorKind::engine_failed,
        "the model gave numbers that are not finite for text " +
            std::to_string(options_.first_index + index) +
            "; its weights overflow in this format, so try flash_attn=\"off\" or another file of the model");
}

} // namespace xlc
