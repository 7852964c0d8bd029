// The caller's side of a request to embed or rerank: its progress, its end, its result.
#pragma once

#include "support/waitable.h"

#include <atomic>
#include <cstddef>
#include <exception>
#include <vector>

namespace xlc {

enum class RetrievalKind { embed, embed_tokens, rerank };

// The numbers of a finished job, in one buffer that is written once.
struct RetrievalResult {
    std::vector<float> values;
    size_t n_dims = 1; // numbers in a row; 1 for scores
    // For embed_tokens only: the row of each text's first token, then the number of rows.
    std::vector<size_t> row_offsets;
};

class RetrievalJob final : public Waitable {
public:
    RetrievalJob(RetrievalKind kind, size_t n_total) : kind_(kind), n_total_(n_total) {}

    RetrievalKind kind() const { return kind_; }
    size_t n_total() const { return n_total_; } // texts or documents
    size_t n_done() const { return n_done_; }   // how many of them have gone through the model

    // Callers that wait return at once. The worker stops before its next micro-batch, on a CPU within it.
    void cancel() override;
    bool is_over() const override { return over_; }

    // Call only after the job is over. Rethrows the failure if there was one. The result lives as long as the
    // job.
    const RetrievalResult& result() const;

    // Called by the worker. Only the first call of finish() or fail() counts; later ones are ignored.
    void advance(size_t n) { n_done_ += n; }
    void finish(RetrievalResult result);
    void fail(std::exception_ptr failure);

protected:
    bool ready() const override { return over_; }

private:
    const RetrievalKind kind_;
    const size_t n_total_;
    std::atomic<size_t> n_done_{0};
    std::atomic<bool> over_{false}; // written with mutex_ held, after result_ and failure_
    RetrievalResult result_;
    std::exception_ptr failure_;
};

} // namespace xlc
