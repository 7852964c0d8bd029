// Which inputs go through the model together.
#pragma once

#include <cstddef>
#include <vector>

namespace xlc {

// Indices of the inputs of one micro-batch.
using MicroBatch = std::vector<size_t>;

// Group inputs into micro-batches of at most `n_tokens` tokens and `n_sequences` inputs; an input longer than
// that is alone. The longest come first, so that what grows with the length of an input grows early and once.
std::vector<MicroBatch> pack(const std::vector<size_t>& lengths, size_t n_tokens, size_t n_sequences);

} // namespace xlc
