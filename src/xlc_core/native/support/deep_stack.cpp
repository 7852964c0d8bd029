#include "support/deep_stack.h"

#include "support/errors.h"

#include <exception>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

namespace xlc {

namespace {

constexpr size_t stack_size = size_t{512} << 20;

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

#ifdef _WIN32
DWORD WINAPI run_call(void* call) {
    static_cast<Call*>(call)->run();
    return 0;
}

bool run_on_thread(Call& call) {
    HANDLE thread =
        CreateThread(nullptr, stack_size, run_call, &call, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
    if (thread == nullptr) {
        return false;
    }
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    return true;
}
#else
void* run_call(void* call) {
    static_cast<Call*>(call)->run();
    return nullptr;
}

bool run_on_thread(Call& call) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_t thread;
    const bool started = pthread_attr_setstacksize(&attributes, stack_size) == 0 &&
                         pthread_create(&thread, &attributes, run_call, &call) == 0;
    pthread_attr_destroy(&attributes);
    if (started) {
        pthread_join(thread, nullptr);
    }
    return started;
}
#endif

} // namespace

void on_deep_stack(const std::function<void()>& function) {
    Call call{function, nullptr};
    if (!run_on_thread(call)) {
        throw Error(
            ErrorKind::insufficient_memory, "no address space for a stack of 512 MiB, which a constraint or "
                                            "a text needs; raise the process's limit "
                                            "(ulimit -v)");
    }
    if (call.error) {
        std::rethrow_exception(call.error);
    }
}

} // namespace xlc
