// A loop over independent items on a few threads. The threads end with the loop.
#pragma once

#include "support/errors.h"
#include "support/thread.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <vector>

namespace xlc {

// Call function(i) for every i below n, in any order. The caller's thread works too. The first exception is
// rethrown after all threads have ended; items that had not started by then are skipped.
template<typename Function> void parallel_for(size_t n, int n_threads, const Function& function) {
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    const auto work = [&] {
        try {
            for (size_t i = next++; i < n; i = next++) {
                function(i);
            }
        } catch (...) {
            next = n;
            std::lock_guard<std::mutex> lock(failure_mutex);
            if (!failure) {
                failure = std::current_exception();
            }
        }
    };

    std::vector<Thread> helpers;
    const size_t n_helpers = std::min<size_t>(n, static_cast<size_t>(std::max(n_threads, 1)));
    for (size_t i = 1; i < n_helpers; ++i) {
        try {
            helpers.emplace_back(work);
        } catch (const Error&) {
            break; // the system allows no more threads: the running ones do the work
        }
    }
    work();
    for (Thread& helper : helpers) {
        helper.join();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

} // namespace xlc
