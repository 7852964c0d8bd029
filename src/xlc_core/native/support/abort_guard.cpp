#include "support/abort_guard.h"

#include "ggml.h"

#include <utility>

namespace xlc {

namespace {

thread_local AssertionWatch* innermost = nullptr;

// The message begins with the path that the file had when it was compiled. Its part in llama.cpp is enough.
std::string without_folder(const std::string& message) {
    const std::string root = "llama.cpp/";
    const size_t at = message.substr(0, message.find(": ")).rfind(root);
    return at == std::string::npos ? message : message.substr(at + root.size());
}

// ggml_abort is C. Unwinding through C works because unwind tables are part of the x86-64 and AArch64 ABIs,
// and because ggml is compiled with -fexceptions.
void on_abort(const char* message) {
    const std::string text = without_folder(message);
    AssertionWatch::report(text);
    throw AssertionFailed(text);
}

} // namespace

void install_abort_handler() {
    ggml_set_abort_callback(on_abort);
}

AssertionWatch::AssertionWatch(Listener listener) : listener_(std::move(listener)), outer_(innermost) {
    innermost = this;
}

AssertionWatch::~AssertionWatch() {
    innermost = outer_;
}

void AssertionWatch::report(const std::string& message) {
    if (innermost != nullptr && innermost->message_.empty()) {
        innermost->message_ = message;
        if (innermost->listener_) {
            innermost->listener_(message);
        }
    }
}

} // namespace xlc
