#include "retrieval/packing.h"

#include <iterator>

namespace xlc {

Packer::Packer(const std::vector<size_t>& lengths) {
    for (size_t i = 0; i < lengths.size(); ++i) {
        left_.emplace(lengths[i], i);
    }
}

MicroBatch Packer::next(size_t n_tokens, size_t n_sequences) {
    const auto longest = std::prev(left_.end());
    size_t room = n_tokens > longest->first ? n_tokens - longest->first : 0;
    MicroBatch batch{longest->second};
    left_.erase(longest);
    // Best fit: add the longest input that still fits, until none fits. Fuller batches mean fewer batches.
    while (batch.size() < n_sequences) {
        auto fitting = left_.upper_bound(room);
        if (fitting == left_.begin()) {
            break;
        }
        --fitting;
        room -= fitting->first;
        batch.push_back(fitting->second);
        left_.erase(fitting);
    }
    return batch;
}

} // namespace xlc
