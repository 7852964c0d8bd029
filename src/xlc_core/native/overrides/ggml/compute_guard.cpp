#include "overrides/ggml/compute_guard.h"

#include "support/abort_guard.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct Failure {
    const ggml_threadpool* threads;
    std::string message;
    int n_left = 0; // helpers that are out of the graph
};

// Computations that have failed and that some threads have not left yet.
struct Failures {
    std::atomic<int> n{0};
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Failure> all;

    // With the mutex held. Returns all.end() if the computation has not failed.
    std::vector<Failure>::iterator find(const ggml_threadpool* threads) {
        return std::find_if(
            all.begin(), all.end(), [&](const Failure& failure) { return failure.threads == threads; });
    }
};

// Never destroyed, because threads may outlive static destructors.
Failures& failures() {
    static auto* const all = new Failures;
    return *all;
}

struct GivenUp {};

struct Stop {
    xlc_stop ask = nullptr;
    void* data = nullptr;
};

thread_local Stop current_stop;

void leave(const ggml_threadpool* threads, const std::string& message, bool helper) {
    Failures& failed = failures();
    {
        const std::lock_guard<std::mutex> lock(failed.mutex);
        auto failure = failed.find(threads);
        if (failure == failed.all.end()) {
            failed.all.push_back({threads, message});
            failure = std::prev(failed.all.end());
            ++failed.n;
        }
        failure->n_left += helper ? 1 : 0;
    }
    failed.changed.notify_all();
}

} // namespace

extern "C" bool
xlc_compute(void (*run)(void* data), void* data, const ggml_threadpool* threads, bool helper) {
    try {
        run(data);
        return true;
    } catch (const GivenUp&) {
        leave(threads, "", helper);
    } catch (const std::exception& error) {
        leave(threads, error.what(), helper);
    }
    return false;
}

extern "C" void xlc_give_up_failed(const ggml_threadpool* threads) {
    Failures& failed = failures();
    if (failed.n.load(std::memory_order_relaxed) == 0) {
        return;
    }
    const std::lock_guard<std::mutex> lock(failed.mutex);
    if (failed.find(threads) != failed.all.end()) {
        throw GivenUp();
    }
}

extern "C" void xlc_wait_for_helpers(const ggml_threadpool* threads, int n_helpers) {
    Failures& failed = failures();
    std::string message;
    {
        std::unique_lock<std::mutex> lock(failed.mutex);
        failed.changed.wait(lock, [&] { return failed.find(threads)->n_left >= n_helpers; });
        const auto failure = failed.find(threads);
        message = failure->message;
        failed.all.erase(failure);
        --failed.n;
    }
    xlc::AssertionWatch::report(message); // without the lock, because listeners may take others
}

extern "C" void xlc_set_stop(xlc_stop stop, void* data) {
    current_stop = {stop, data};
}

extern "C" xlc_stop xlc_get_stop(void** data) {
    *data = current_stop.data;
    return current_stop.ask;
}
