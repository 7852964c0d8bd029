// What a caller holds of a request to embed or rerank: its progress, its end, its result.
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
    // Of embed_tokens only: row of each text's first token, and the number of rows at the end.
    std::vector<size_t> row_offsets;
};

class RetrievalJob final : public Waitable {
public:
    RetrievalJob(RetrievalKind kind, size_t n_total) : kind_(kind), n_total_(n_total) {}

    RetrievalKind kind() const { return kind_; }
    size_t n_total() const { return n_total_; } // texts or documents
    size_t n_done() const { return n_done_; }   // of these, how many have gone through the model

    // Takes effect at once for the waiting; the worker stops before its next micro-batch, on a CPU within it.
    void cancel() override;
    bool is_over() const { return over_; }

    // Only after it is ready: rethrows the failure if there was one. The result lives as long as the job.
    const RetrievalResult& result() const;

    // The worker's side. The first of finish() and fail() counts, the rest are ignored.
    void advance(size_t n) { n_done_ += n; }
    void finish(RetrievalResult result);
    void fail(std::exception_ptr failure);

protected:
    bool ready() const override { return over_; }

private:
    const RetrievalKind kind_;
    const size_t n_total_;
    std::atomic<size_t> n_done_{0};
    std::atomic<bool> over_{false}; // written with mutex_ held, after the two below
    RetrievalResult result_;
    std::exception_ptr failure_;
};

} // namespace xlc
