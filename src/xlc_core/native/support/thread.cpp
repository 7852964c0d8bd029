#include "support/thread.h"

#include "support/errors.h"

#include <string>
#include <system_error>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

namespace xlc {

// With AddressSanitizer, calls take several times as much of the stack.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XLC_STACK_FACTOR 4
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define XLC_STACK_FACTOR 4
#endif
#ifndef XLC_STACK_FACTOR
#define XLC_STACK_FACTOR 1
#endif

#ifdef _WIN32
struct Thread::Handle {
    HANDLE thread = nullptr;
    std::function<void()> work;

    static DWORD WINAPI run(void* self) {
        static_cast<Handle*>(self)->work();
        return 0;
    }
    int start(size_t stack_size) {
        thread = CreateThread(nullptr, stack_size, run, this, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
        return thread == nullptr ? static_cast<int>(GetLastError()) : 0;
    }
    void join() {
        WaitForSingleObject(thread, INFINITE);
        CloseHandle(thread);
    }
};
#else
struct Thread::Handle {
    pthread_t thread{};
    std::function<void()> work;

    static void* run(void* self) {
        static_cast<Handle*>(self)->work();
        return nullptr;
    }
    int start(size_t stack_size) {
        pthread_attr_t attributes;
        int failure = pthread_attr_init(&attributes);
        if (failure == 0) {
            failure = pthread_attr_setstacksize(&attributes, stack_size);
            if (failure == 0) {
                failure = pthread_create(&thread, &attributes, run, this);
            }
            pthread_attr_destroy(&attributes);
        }
        return failure;
    }
    void join() { pthread_join(thread, nullptr); }
};
#endif

void Thread::Delete::operator()(Handle* handle) const {
    delete handle;
}

Thread::Thread(std::function<void()> work, size_t stack_size) : handle_(new Handle) {
    handle_->work = std::move(work);
    const int failure = handle_->start(XLC_STACK_FACTOR * stack_size);
    if (failure != 0) {
        handle_.reset();
        throw Error(
            ErrorKind::engine_failed,
            "the system refused a new thread (" + std::system_category().message(failure) +
                "); raise the process's limit of threads or memory (ulimit -u, ulimit -v, a container's "
                "pids limit)");
    }
}

Thread& Thread::operator=(Thread&& other) noexcept {
    if (this != &other) {
        if (joinable()) {
            join();
        }
        handle_ = std::move(other.handle_);
    }
    return *this;
}

Thread::~Thread() {
    if (joinable()) {
        join();
    }
}

void Thread::join() {
    handle_->join();
    handle_.reset();
}

} // namespace xlc
