// Memory for the widest vectors, which are read twice as fast if they lie within a line of the cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xlc {

constexpr size_t alignment = 64;

constexpr size_t aligned(size_t n_bytes) {
    return (n_bytes + alignment - 1) / alignment * alignment;
}

inline char* aligned(char* at) {
    const auto address = reinterpret_cast<uintptr_t>(at);
    return at + (aligned(address) - address);
}

} // namespace xlc
