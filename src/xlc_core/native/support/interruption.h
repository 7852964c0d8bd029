// Ends long work on one thread from another. llama.cpp's tokenizers and decoders have no way to be stopped,
// so overrides/ ask here while they work.
#pragma once

#include "support/errors.h"

#include <atomic>

namespace xlc {

using StopFlag = std::atomic<bool>;

// The flag of the work on this thread; nullptr for work that nothing ends.
inline thread_local const StopFlag* stop_flag = nullptr;

// Lets a flag end the work on this thread while it lives.
class Interruptible {
public:
    explicit Interruptible(const StopFlag& flag) : outer_(stop_flag) { stop_flag = &flag; }
    ~Interruptible() { stop_flag = outer_; }
    Interruptible(const Interruptible&) = delete;
    Interruptible& operator=(const Interruptible&) = delete;

private:
    const StopFlag* outer_;
};

inline bool stop_requested() {
    return stop_flag && stop_flag->load(std::memory_order_relaxed);
}

// Throws Error(request_cancelled) if the work is to end.
inline void check_stop() {
    if (stop_requested()) {
        throw Error(ErrorKind::request_cancelled, "the request was given up while its prompt was read");
    }
}

} // namespace xlc
