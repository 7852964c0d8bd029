#include "retrieval/retrieval_task.h"
#include "support/errors.h"

#include <algorithm>
#include <utility>

namespace xlc {

namespace {

// Fewer tokens are not worth a computation of their own.
constexpr size_t fewest_shared = 16;

} // namespace

RerankTask::RerankTask(
    std::string query, std::vector<std::string> documents, RerankOptions options, int n_threads)
    : RetrievalTask(RetrievalKind::rerank, std::move(documents), n_threads), query_(std::move(query)),
      options_(std::move(options)) {}

void RerankTask::begin(const Encoder& encoder) {
    encoder.traits().require_ranking();
    score_index_ = encoder.traits().score_index;
    options_.sentence_types = options_.sentence_types && encoder.has_sentence_types();
    layout_.emplace(encoder.model(), encoder.tokenizer(), query_, options_, encoder.limit());
}

TokenSequence
RerankTask::tokenize(const Encoder& /*encoder*/, size_t index, const std::string& document) const {
    return layout_->pair_with(document, index, stop_when_over());
}

// The instruction and the query, as the tokens of the pairs show. A token at their end may belong to a
// document too, so they are not known before.
size_t RerankTask::n_shared(const std::vector<TokenSequence>& sequences) const {
    if (sequences.size() < 2) {
        return 0;
    }
    const Tokens& first = sequences.front().tokens;
    size_t n = first.size() - 1; // the score comes with the last token
    for (const TokenSequence& sequence : sequences) {
        const size_t most = std::min(n, sequence.tokens.size() - 1);
        const auto end = first.begin() + static_cast<std::ptrdiff_t>(most);
        const auto differs = std::mismatch(first.begin(), end, sequence.tokens.begin()).first;
        n = static_cast<size_t>(differs - first.begin());
    }
    return n >= fewest_shared ? n : 0;
}

void RerankTask::allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) {
    result.values.resize(sequences.size());
}

void RerankTask::write(
    size_t /*slot*/,
    size_t index,
    size_t /*first*/,
    const float* labels,
    size_t /*n_rows*/,
    size_t /*stride*/,
    RetrievalResult& result) {
    if (!is_finite(labels + score_index_, 1)) {
        throw Error(
            ErrorKind::engine_failed, "the model gave a score that is not finite for document " +
                                          std::to_string(index) +
                                          "; its weights overflow in this format, so try "
                                          "flash_attn=\"off\" or another file of the model");
    }
    result.values[index] = labels[score_index_];
}

} // namespace xlc
