#include "retrieval/retrieval_task.h"
#include "support/errors.h"

#include <utility>

namespace xlc {

RerankTask::RerankTask(
    std::string query, std::vector<std::string> documents, RerankOptions options, int n_threads)
    : RetrievalTask(RetrievalKind::rerank, std::move(documents), n_threads), query_(std::move(query)),
      options_(std::move(options)) {}

void RerankTask::begin(const Encoder& encoder) {
    encoder.traits().require_ranking();
    options_.sentence_types = options_.sentence_types && encoder.has_sentence_types();
    layout_.emplace(encoder.model(), encoder.tokenizer(), query_, options_, encoder.limit());
}

TokenSequence
RerankTask::tokenize(const Encoder& /*encoder*/, size_t index, const std::string& document) const {
    return layout_->pair_with(document, index, stop_when_over());
}

void RerankTask::allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) {
    result.values.resize(sequences.size());
}

void RerankTask::run(
    Encoder& encoder,
    const MicroBatch& batch,
    const std::vector<const TokenSequence*>& sequences,
    RetrievalResult& result) {
    const size_t score_index = encoder.traits().score_index;
    encoder.encode(
        sequences,
        [&](size_t slot, size_t /*first*/, const float* labels, size_t /*n_rows*/, size_t /*stride*/) {
            if (!is_finite(labels + score_index, 1)) {
                throw Error(
                    ErrorKind::engine_failed, "the model gave a score that is not finite for document " +
                                                  std::to_string(batch[slot]) +
                                                  "; its weights overflow in this format, so try "
                                                  "flash_attn=\"off\" or another file of the model");
            }
            result.values[batch[slot]] = labels[score_index];
        },
        stop_when_over());
}

} // namespace xlc
