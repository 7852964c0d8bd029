#include "support/abort_guard.h"

#include "ggml.h"

#include <cstdio>
#include <mutex>
#include <stdexcept>

namespace xlc {

namespace {

thread_local bool guarded = false;

// ggml_abort is C. Unwinding through it works because unwind tables are part of the x86-64 and AArch64 ABIs.
// Aborts on ggml's compute threads are not caught, because none of our code is on their stacks.
void on_abort(const char* message) {
    if (guarded) {
        throw std::runtime_error(message);
    }
    std::fprintf(stderr, "%s\n", message);
}

} // namespace

void install_abort_handler() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_set_abort_callback(on_abort); });
}

AbortGuard::AbortGuard() : outer_(guarded) {
    guarded = true;
}

AbortGuard::~AbortGuard() {
    guarded = outer_;
}

} // namespace xlc
