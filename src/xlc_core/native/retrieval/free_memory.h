// How much memory this process can still take.
#pragma once

#include <cstddef>

namespace xlc {

// Return the bytes that can be allocated without swapping, within the limit of a container. SIZE_MAX if that
// is not known.
size_t free_memory_bytes();

} // namespace xlc
