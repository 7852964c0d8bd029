// Which inputs go through the model together.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace xlc {

// Indices of the inputs of one micro-batch.
using MicroBatch = std::vector<size_t>;

// Groups inputs into micro-batches, the longest first, so that what grows with the length of an input grows
// early and once.
class Packer {
public:
    explicit Packer(const std::vector<size_t>& lengths);

    bool empty() const { return left_.empty(); }

    // The next at most `n_sequences` inputs of at most `n_tokens` tokens together; an input longer than that
    // is alone. There must be one.
    MicroBatch next(size_t n_tokens, size_t n_sequences);

private:
    std::multimap<size_t, size_t> left_; // length to index
};

} // namespace xlc
