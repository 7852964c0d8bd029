// A few threads that run one function together. They are kept between runs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace xlc {

// Not thread-safe: one caller at a time.
class ThreadTeam {
public:
    // n_threads counts the caller's thread. Starts fewer threads if the system allows no more.
    explicit ThreadTeam(size_t n_threads);
    ~ThreadTeam();
    ThreadTeam(const ThreadTeam&) = delete;
    ThreadTeam& operator=(const ThreadTeam&) = delete;

    size_t size() const { return threads_.size() + 1; }

    // Call function(0 … size() − 1), each on its own thread, and return when all have returned. The function
    // must not throw.
    void run(const std::function<void(size_t)>& function);

    // Every thread must call this within run(). Calls function(0 … n_units − 1), each once, on whichever
    // thread is free, and returns when all are done.
    template<typename Function> void share(size_t n_units, const Function& function) {
        for (size_t unit = next_unit_++; unit < n_units; unit = next_unit_++) {
            function(unit);
        }
        meet();
    }

private:
    void work(size_t index);
    // Wait for the other threads of the team. Spins for some microseconds, because the wait is usually short.
    // Then yields: the thread that it waits for may need this processor.
    void meet();

    std::atomic<size_t> next_unit_{0};
    std::atomic<size_t> n_waiting_{0};
    std::atomic<size_t> n_meetings_{0};

    std::mutex mutex_; // guards the members below
    std::condition_variable changed_;
    const std::function<void(size_t)>* function_ = nullptr;
    size_t n_runs_ = 0;
    size_t n_working_ = 0;
    bool closing_ = false;
    std::vector<std::thread> threads_;
};

} // namespace xlc
