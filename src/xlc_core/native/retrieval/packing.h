// Decides which inputs go through the model together.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace xlc {

// Indices of the inputs of one micro-batch.
using MicroBatch = std::vector<size_t>;

// Groups inputs into micro-batches, the longest first: buffers that grow with the length of an input then
// grow once, at the start.
class Packer {
public:
    explicit Packer(const std::vector<size_t>& lengths);

    bool empty() const { return left_.empty(); }
    // Number of tokens of the longest input. Must not be called when empty().
    size_t longest() const { return left_.rbegin()->first; }

    // Return the next inputs: at most `n_sequences`, with at most `n_tokens` tokens together. A longer input
    // is returned alone. Must not be called when empty().
    MicroBatch next(size_t n_tokens, size_t n_sequences);

private:
    std::multimap<size_t, size_t> left_; // length to index
};

} // namespace xlc
