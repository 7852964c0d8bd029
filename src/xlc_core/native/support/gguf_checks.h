// Checks that neither ggml's reader of GGUF files nor its callers make.
#pragma once

#include <string>
#include <vector>

struct gguf_context;

namespace xlc {

// Return what is wrong with a file whose header has been read, with the field and the value; empty if it is
// sound.
std::string find_fault(const gguf_context* file);

// The same for the files of a split model together, the first one first: a field of the first may not fit the
// tensors of the others.
std::string find_split_fault(const std::vector<const gguf_context*>& parts);

} // namespace xlc
