// Giving up and taking Python's GIL, also while the interpreter ends. A thread that asks for the GIL then is
// ended by Python (3.10 to 3.13), which unwinds it through C++ and aborts the process. So all threads pass a
// gate, which is closed before the interpreter ends.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <optional>
#include <thread>

namespace xlc {

namespace nb = nanobind;

class GilGate {
public:
    // The gate of this process.
    static GilGate& instance();

    // Return whether this thread may take the GIL; if so, it must leave() after it has given it up or after
    // its native function has returned to Python.
    bool enter();
    void leave() { --n_inside_; }

    // A thread of Python's that runs native code without the GIL.
    void begin_native() { ++n_native_; }
    void end_native() { --n_native_; }

    // Close the gate: for atexit, with the GIL. Waits, without the GIL, until no thread is inside and native
    // code of Python's threads has returned; at most some seconds. This thread may enter later.
    void close();

private:
    std::atomic<int> n_inside_{0};
    std::atomic<int> n_native_{0};
    std::atomic<bool> closed_{false};
    std::atomic<std::thread::id> closer_{};
};

// While it lives, its thread does not hold the GIL. Once the gate is closed, the thread never returns to
// Python, like any thread from Python 3.14 on.
class GilRelease {
public:
    GilRelease();
    ~GilRelease();
    GilRelease(const GilRelease&) = delete;
    GilRelease& operator=(const GilRelease&) = delete;

private:
    GilGate& gate_;
    PyThreadState* const state_;
};

// While it lives, its thread holds the GIL, if is_valid(): the interpreter may have ended.
class GilAcquire {
public:
    GilAcquire();
    ~GilAcquire();
    GilAcquire(const GilAcquire&) = delete;
    GilAcquire& operator=(const GilAcquire&) = delete;

    bool is_valid() const { return gil_ && gil_->is_valid(); }

private:
    GilGate& gate_;
    const bool entered_;
    std::optional<nb::gil_scoped_acquire> gil_;
};

void bind_gil(nb::module_& m);

} // namespace xlc
