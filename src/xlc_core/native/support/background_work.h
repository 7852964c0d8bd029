// Runs long work on threads of its own, so that callers can stop waiting for it.
#pragma once

#include "support/polling.h"

#include <functional>
#include <future>
#include <mutex>
#include <vector>

namespace xlc {

class BackgroundWork {
public:
    // Run work and wait for it; its exceptions are rethrown here. If `poll` throws, the work is asked to end
    // (support/interruption.h) and its result is dropped. It may outlive this call then, but not this object,
    // so it must own all other objects that it uses. Without `poll`, or if no thread can be started, it runs
    // on this thread.
    void run(const std::function<void()>& work, const Poll& poll);

    // Wait for work that callers have given up, which ends soon. The destructor does it too.
    void finish();

private:
    std::mutex mutex_;
    std::vector<std::future<void>> given_up_; // a future of std::async waits when it is destroyed
};

} // namespace xlc
