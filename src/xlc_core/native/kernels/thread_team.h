// A few threads that run one function together, kept between runs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace xlc {

// For one caller at a time.
class ThreadTeam {
public:
    explicit ThreadTeam(size_t n_threads); // the caller's included; starts fewer when no more are to be had
    ~ThreadTeam();
    ThreadTeam(const ThreadTeam&) = delete;
    ThreadTeam& operator=(const ThreadTeam&) = delete;

    size_t size() const { return threads_.size() + 1; }

    // Call function(0 … size() − 1), each on a thread of its own, and return when all have. It must not
    // throw.
    void run(const std::function<void(size_t)>& function);

    // Within run(), by every thread alike: call function(0 … n_units − 1), each once on the thread that is
    // free, and return when all are done.
    template<typename Function> void share(size_t n_units, const Function& function) {
        for (size_t unit = next_unit_++; unit < n_units; unit = next_unit_++) {
            function(unit);
        }
        meet();
    }

private:
    void work(size_t index);
    // Wait for the others of the team. Spins for some microseconds, as what it waits for is short, then gives
    // way: another process may hold the processor that it waits for.
    void meet();

    std::atomic<size_t> next_unit_{0};
    std::atomic<size_t> n_waiting_{0};
    std::atomic<size_t> n_meetings_{0};

    std::mutex mutex_; // of what follows
    std::condition_variable changed_;
    const std::function<void(size_t)>* function_ = nullptr;
    size_t n_runs_ = 0;
    size_t n_working_ = 0;
    bool closing_ = false;
    std::vector<std::thread> threads_;
};

} // namespace xlc
