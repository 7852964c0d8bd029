// Runs a function that may recurse deeply because of its input.
#pragma once

#include <cstddef>
#include <functional>

namespace xlc {

constexpr size_t deepest_stack = size_t{512} << 20;

// Runs the function on a thread with a stack of this size and waits for it. This reserves address space;
// memory is used only as far as the stack grows. Costs some tens of microseconds. Rethrows the function's
// exception. Throws Error(insufficient_memory) when the stack cannot be reserved.
void on_deep_stack(const std::function<void()>& function, size_t stack_size = deepest_stack);

} // namespace xlc
