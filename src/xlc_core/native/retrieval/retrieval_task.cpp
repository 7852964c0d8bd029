#include "retrieval/retrieval_task.h"

#include "retrieval/parallel.h"

#include <utility>

namespace xlc {

namespace {

// One step tokenises about this much. That takes a few milliseconds, about as long as a micro-batch.
constexpr size_t slice_bytes = size_t(256) << 10;
constexpr size_t slice_inputs = 1024;

// Tokenising less than this is faster than starting threads.
constexpr size_t parallel_bytes = size_t(32) << 10;

} // namespace

RetrievalTask::RetrievalTask(RetrievalKind kind, std::vector<std::string> inputs, int n_threads)
    : job_(std::make_shared<RetrievalJob>(kind, inputs.size())), inputs_(std::move(inputs)),
      n_threads_(n_threads) {}

bool RetrievalTask::step(Encoder& encoder) {
    if (!begun_) {
        begin(encoder);
        sequences_.resize(inputs_.size());
        begun_ = true;
    }
    if (n_tokenized_ < inputs_.size()) {
        tokenize_slice(encoder);
        return false;
    }
    if (!unfinished_) {
        plan(encoder);
    }
    if (!unfinished_->empty()) {
        run_next_batch(encoder);
    }
    if (!unfinished_->empty()) {
        return false;
    }
    job_->finish(std::move(result_));
    return true;
}

void RetrievalTask::tokenize_slice(const Encoder& encoder) {
    const size_t begin_index = n_tokenized_;
    size_t n_bytes = 0;
    while (n_tokenized_ < inputs_.size() && n_bytes < slice_bytes &&
           n_tokenized_ - begin_index < slice_inputs) {
        n_bytes += inputs_[n_tokenized_++].size();
    }
    parallel_for(n_tokenized_ - begin_index, n_bytes < parallel_bytes ? 1 : n_threads_, [&](size_t i) {
        std::string& input = inputs_[begin_index + i];
        sequences_[begin_index + i] = tokenize(encoder, begin_index + i, input);
        input = std::string(); // not needed any more
    });
}

void RetrievalTask::plan(Encoder& encoder) {
    const size_t shared = n_shared(sequences_);
    const bool shares = shared > 0 && encoder.shares_beginnings();
    std::vector<size_t> lengths;
    lengths.reserve(sequences_.size());
    for (TokenSequence& sequence : sequences_) {
        sequence.n_shared = shares ? shared : 0;
        lengths.push_back(sequence.n_own());
    }
    unfinished_.emplace(lengths);
    allocate(sequences_, result_);
}

void RetrievalTask::run_next_batch(Encoder& encoder) {
    const size_t n_sequences = encoder.n_batch_sequences() - (sequences_.front().n_shared > 0 ? 1 : 0);
    const MicroBatch batch = unfinished_->next(encoder.n_batch_tokens(), n_sequences);
    std::vector<const TokenSequence*> sequences;
    for (const size_t index : batch) {
        sequences.push_back(&sequences_[index]);
    }
    run(encoder, batch, sequences, result_);
    job_->advance(batch.size());
}

} // namespace xlc
