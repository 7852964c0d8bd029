// Chooses how many tokens go through a model at once.
#pragma once

#include <cstddef>
#include <vector>

namespace xlc {

// Tries a few sizes on the first micro-batches. The sizes take turns, so that a slow moment affects all of
// them. Then it keeps the smallest size that is about as fast as the fastest: with a smaller one, other
// requests start earlier. The best size depends on the model, the processor and its caches. The trials cost
// nothing extra, because they do work that had to be done anyway.
class BatchSize {
public:
    // The first candidate is used until there is more than one micro-batch. A single candidate is never
    // compared.
    explicit BatchSize(const std::vector<size_t>& candidates);

    // For the next micro-batch.
    size_t n_tokens() const { return trials_[current_].n_tokens; }
    size_t largest() const;

    // Record that a micro-batch of n_tokens took this long. `is_full`: it held as many texts as it may. A
    // micro-batch that is neither full nor half filled is the rest of a request. It says nothing about speed
    // and is ignored.
    void record(size_t n_tokens, bool is_full, double seconds);

private:
    struct Trial {
        size_t n_tokens;
        size_t n_runs = 0;
        double tokens_per_second = 0.0; // the best so far: other programs disturbed the slower runs
    };

    void settle();

    std::vector<Trial> trials_;
    size_t current_ = 0;
};

} // namespace xlc
