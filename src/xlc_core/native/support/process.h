// Detects a forked child. It has a copy of its parent's memory but not its threads: a lock that a thread held
// stays locked, and data that a thread was writing stays half written.
#pragma once

#include "support/errors.h"

#include <atomic>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace xlc {

inline long process_id() {
#ifdef _WIN32
    return 0; // Windows does not fork
#else
    return static_cast<long>(getpid());
#endif
}

// Remembers the process that created it.
class HomeProcess {
public:
    bool is_this() const { return id_ == process_id(); }

    // Throws engine_failed in a child that was forked after this object was created.
    void check() const {
        if (!is_this()) {
            throw Error(
                ErrorKind::engine_failed, "this engine was opened before the process forked and its threads "
                                          "are in the parent; open an engine "
                                          "in the child, or start processes with the 'spawn' method");
        }
    }

private:
    const long id_ = process_id();
};

// Return the only T of this process. It is never destroyed, because threads may outlive static destructors. A
// forked child gets a new one.
template<typename T> T& one_per_process() {
    struct Entry {
        HomeProcess home;
        T value;
    };
    static std::atomic<Entry*> entry{nullptr};
    Entry* current = entry.load();
    if (!current || !current->home.is_this()) {
        auto* fresh = new Entry{};
        if (entry.compare_exchange_strong(current, fresh)) {
            current = fresh;
        } else {
            delete fresh; // another thread of this process was faster
        }
    }
    return current->value;
}

} // namespace xlc
