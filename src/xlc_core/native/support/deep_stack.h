// Running a function that may recurse deeply on input that somebody else wrote.
#pragma once

#include <functional>

namespace xlc {

// Runs it on a thread with a stack of half a gigabyte (of address space; memory only as far as it is used),
// and waits. What it throws is thrown here. Costs some tens of microseconds. Throws
// Error(insufficient_memory) when there is no room for such a stack.
void on_deep_stack(const std::function<void()>& function);

} // namespace xlc
