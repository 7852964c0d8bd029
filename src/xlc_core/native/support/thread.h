// A thread with a stack of a known size. std::thread takes the system's default, which is 512 KiB on macOS
// and 128 KiB with musl: too little for parsers that recurse.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace xlc {

class Thread {
public:
    // Address space; memory is used only as far as the stack grows.
    static constexpr size_t default_stack = size_t{16} << 20;

    Thread() = default;
    // Starts the thread. Throws Error(engine_failed) when the system refuses one. An exception that leaves
    // `work` ends the process.
    explicit Thread(std::function<void()> work, size_t stack_size = default_stack);
    Thread(Thread&& other) noexcept = default;
    Thread& operator=(Thread&& other) noexcept;
    ~Thread(); // waits for the end of the thread

    bool joinable() const { return handle_ != nullptr; }
    // Wait for the end of the thread.
    void join();

private:
    struct Handle;
    struct Delete {
        void operator()(Handle* handle) const;
    };
    std::unique_ptr<Handle, Delete> handle_;
};

} // namespace xlc
