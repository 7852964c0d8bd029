// Checks that neither ggml's reader of GGUF files nor its callers make.
#pragma once

#include <string>

struct gguf_context;

namespace xlc {

// Return what is wrong with a file whose header has been read, with the field and the value; empty if it is
// sound.
std::string find_fault(const gguf_context* file);

} // namespace xlc
