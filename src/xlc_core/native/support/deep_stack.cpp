#include "support/deep_stack.h"

#include "support/errors.h"
#include "support/thread.h"

#include <exception>

namespace xlc {

namespace {

struct Call {
    const std::function<void()>& function;
    std::exception_ptr error;

    void run() {
        try {
            function();
        } catch (...) {
            error = std::current_exception();
        }
    }
};

} // namespace

void on_deep_stack(const std::function<void()>& function, size_t stack_size) {
    Call call{function, nullptr};
    try {
        Thread([&call] { call.run(); }, stack_size).join();
    } catch (const Error&) {
        throw Error(
            ErrorKind::insufficient_memory, "no address space or no thread for a stack of " +
                                                std::to_string(stack_size >> 20) +
                                                " MiB, which a template, a constraint or a text needs; raise "
                                                "the process's limits (ulimit -v, "
                                                "ulimit -u)");
    }
    if (call.error) {
        std::rethrow_exception(call.error);
    }
}

} // namespace xlc
