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

// A task with no more than this may join another one's micro-batch.
constexpr size_t small_bytes = size_t(16) << 10;
constexpr size_t small_inputs = 16;

} // namespace

RetrievalTask::RetrievalTask(RetrievalKind kind, std::vector<std::string> inputs, int n_threads)
    : job_(std::make_shared<RetrievalJob>(kind, inputs.size())), inputs_(std::move(inputs)),
      n_threads_(n_threads) {}

bool RetrievalTask::is_small() const {
    size_t n_bytes = 0;
    for (size_t i = 0; i < inputs_.size() && i <= small_inputs; ++i) {
        n_bytes += inputs_[i].size();
    }
    return inputs_.size() <= small_inputs && n_bytes <= small_bytes;
}

bool RetrievalTask::prepare(Encoder& encoder) {
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
    return true;
}

bool RetrievalTask::fits(size_t n_tokens, size_t n_sequences) const {
    return n_sequences > 0 && !unfinished_->empty() && unfinished_->longest() <= n_tokens;
}

void RetrievalTask::choose(const Encoder& encoder, size_t n_tokens, size_t n_sequences) {
    batch_.clear();
    chosen_.clear();
    if (unfinished_->empty()) { // a job without inputs
        return;
    }
    batch_ = unfinished_->next(n_tokens, n_sequences);
    for (const size_t index : batch_) {
        chosen_.push_back(&sequences_[index]);
    }
    begin_batch(encoder, batch_, result_);
}

void RetrievalTask::take(
    size_t slot, size_t first, const float* rows, size_t n_rows, size_t stride) noexcept {
    if (failure_) {
        return;
    }
    try {
        write(slot, batch_[slot], first, rows, n_rows, stride, result_);
    } catch (...) {
        failure_ = std::current_exception();
    }
}

bool RetrievalTask::finish_batch() {
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    end_batch(batch_, result_);
    job_->advance(batch_.size());
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

} // namespace xlc
