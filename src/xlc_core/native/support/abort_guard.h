// GGML_ABORT ends the process. On a thread that holds this guard it throws an exception instead, which
// llama.cpp's handlers turn into an error of one request.
#pragma once

namespace xlc {

// ggml calls the handler for every abort in the process. Installing it twice does nothing.
void install_abort_handler();

class AbortGuard {
public:
    AbortGuard();
    ~AbortGuard();
    AbortGuard(const AbortGuard&) = delete;
    AbortGuard& operator=(const AbortGuard&) = delete;

private:
    bool outer_;
};

} // namespace xlc
