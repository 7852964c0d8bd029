// How many tokens should go through a model at once.
#pragma once

#include <cstddef>
#include <vector>

namespace xlc {

// Tries a few sizes on the first micro-batches that there are, in turns so that a slow moment meets all, and
// keeps the smallest of those that are about as fast as the fastest: a smaller one lets other requests in
// earlier. What is best depends on the model, the processor and its caches, and the trials are work that was
// to be done anyway.
class BatchSize {
public:
    // The first candidate is taken until there is more than one micro-batch; a single one is never
    // questioned.
    explicit BatchSize(const std::vector<size_t>& candidates);

    // For the next micro-batch.
    size_t n_tokens() const { return trials_[current_].n_tokens; }
    size_t largest() const;

    // A micro-batch of n_tokens took so long. `is_full` when it took as many texts as it may; one that is
    // neither that nor half filled is what was left of a request, tells nothing and is passed over.
    void record(size_t n_tokens, bool is_full, double seconds);

private:
    struct Trial {
        size_t n_tokens;
        size_t n_runs = 0;
        double tokens_per_second = 0.0; // the best so far: others are disturbed
    };

    void settle();

    std::vector<Trial> trials_;
    size_t current_ = 0;
};

} // namespace xlc
