#include "retrieval/packing.h"

#include <algorithm>
#include <iterator>
#include <map>

namespace xlc {

std::vector<MicroBatch> pack(const std::vector<size_t>& lengths, size_t n_tokens, size_t n_sequences) {
    std::multimap<size_t, size_t> left; // length to index
    for (size_t i = 0; i < lengths.size(); ++i) {
        left.emplace(lengths[i], i);
    }

    std::vector<MicroBatch> batches;
    while (!left.empty()) {
        const auto longest = std::prev(left.end());
        size_t room = n_tokens > longest->first ? n_tokens - longest->first : 0;
        MicroBatch batch{longest->second};
        left.erase(longest);
        // Best fit: the longest input that still has room, until none has. Full batches are fewer batches.
        while (batch.size() < n_sequences) {
            auto fitting = left.upper_bound(room);
            if (fitting == left.begin()) {
                break;
            }
            --fitting;
            room -= fitting->first;
            batch.push_back(fitting->second);
            left.erase(fitting);
        }
        batches.push_back(std::move(batch));
    }
    return batches;
}

} // namespace xlc
