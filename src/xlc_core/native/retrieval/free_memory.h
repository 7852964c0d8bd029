// How much memory this process can still take.
#pragma once

#include <cstddef>

namespace xlc {

// Bytes that can be allocated without swapping, a container's limit included; SIZE_MAX where that is not
// known.
size_t free_memory_bytes();

} // namespace xlc
