// GGML_ASSERT and GGML_ABORT end the process. Here they throw AssertionFailed instead, on every thread, so
// that llama.cpp's handlers and ours turn them into the error of a request. In a graph that several threads
// compute, overrides/ggml/compute_guard.cpp catches it, and the computation fails. Only a thread that
// llama.cpp starts for another purpose (helpers of its quantiser and of its reader of sound) still ends the
// process.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace xlc {

struct AssertionFailed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Call when the module is imported. ggml then never starts a debugger to print a backtrace.
void install_abort_handler();

// While it lives, notices assertions that fail on this thread or in a graph that this thread computes, also
// if llama.cpp catches the exception. A context in which one failed must not be used again. An inner watch
// hides them from the outer one.
class AssertionWatch {
public:
    // Called with the text of the first one, at once and on this thread.
    using Listener = std::function<void(const std::string&)>;

    explicit AssertionWatch(Listener listener = {});
    ~AssertionWatch();
    AssertionWatch(const AssertionWatch&) = delete;
    AssertionWatch& operator=(const AssertionWatch&) = delete;

    bool failed() const { return !message_.empty(); }
    // Return the text of the first one: where it is in llama.cpp's source, and what it asserts.
    const std::string& message() const { return message_; }

    // Record a failed assertion in the innermost watch of this thread.
    static void report(const std::string& message);

private:
    const Listener listener_;
    std::string message_;
    AssertionWatch* outer_;
};

} // namespace xlc
