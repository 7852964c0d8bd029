#include "kernels/thread_team.h"

#include "support/spinning.h"

#include <system_error>

namespace xlc {

namespace {

void pause_briefly() {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
}

} // namespace

void ThreadTeam::meet() {
    const size_t n_meetings = n_meetings_.load();
    if (n_waiting_.fetch_add(1) + 1 == size()) {
        n_waiting_ = 0;
        next_unit_ = 0;
        n_meetings_ = n_meetings + 1;
        return;
    }
    for (int i = 0; n_meetings_.load() == n_meetings; ++i) {
        if (i < XLC_PAUSES_BEFORE_YIELD) {
            pause_briefly();
        } else {
            std::this_thread::yield();
        }
    }
}

ThreadTeam::ThreadTeam(size_t n_threads) {
    for (size_t i = 1; i < n_threads; ++i) {
        try {
            threads_.emplace_back([this, i] { work(i); });
        } catch (const std::system_error&) {
            break;
        }
    }
}

ThreadTeam::~ThreadTeam() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void ThreadTeam::run(const std::function<void(size_t)>& function) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        function_ = &function;
        n_working_ = threads_.size();
        ++n_runs_;
    }
    changed_.notify_all();
    function(0);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return n_working_ == 0; });
}

void ThreadTeam::work(size_t index) {
    size_t n_seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return closing_ || n_runs_ != n_seen; });
        if (closing_) {
            return;
        }
        n_seen = n_runs_;
        const std::function<void(size_t)>& function = *function_;
        lock.unlock();
        function(index);
        lock.lock();
        if (--n_working_ == 0) {
            changed_.notify_all();
        }
    }
}

} // namespace xlc
