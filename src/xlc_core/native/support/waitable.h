// Something that a Python thread or an asyncio loop can wait for, such as a generation's next events or a
// retrieval job's end. The producer calls notify() from any thread. A consumer either blocks in wait_ready(),
// or arms a waker, which is called once.
#pragma once

#include "support/logging.h"
#include "support/process.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace xlc {

class Waitable {
public:
    using Waker = std::function<void()>;

    virtual ~Waitable() = default;

    // The producer's process. In another process no method below may be called.
    const HomeProcess& home() const { return home_; }

    // The producer calls this after it has made something available, and must not hold its locks.
    void notify() {
        std::shared_ptr<Waker> waker;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (armed_) {
                armed_ = false;
                waker = waker_;
            }
        }
        changed_.notify_all();
        if (waker) {
            try {
                (*waker)();
            } catch (const std::exception& error) { // the producer goes on: it has other consumers
                log_warning(std::string("an event loop could not be woken: ") + error.what());
            }
        }
    }

    // Block until ready() or the deadline; return ready(). Must be called without the GIL.
    bool wait_ready(std::chrono::steady_clock::time_point deadline) {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_until(lock, deadline, [this] { return ready(); });
    }

    // The waker is called from the producer's thread, without the GIL, once per arm().
    // `object`: the Python object that it calls, for the garbage collector.
    void set_waker(Waker waker, void* object = nullptr) {
        std::shared_ptr<Waker> other = waker ? std::make_shared<Waker>(std::move(waker)) : nullptr;
        std::lock_guard<std::mutex> lock(mutex_);
        waker_.swap(other); // the old one is freed after the lock
        waker_object_ = object;
    }
    void* waker_object() const { return waker_object_; }

    // Whether the producer has ended, so that it does not call the waker any more.
    virtual bool is_over() const = 0;

    // Ask for one call of the waker at the next notify(). Return false, without arming, if something is
    // already available.
    bool arm() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (ready()) {
            return false;
        }
        armed_ = true;
        return true;
    }

    // Stop the work. Idempotent; from any thread.
    virtual void cancel() = 0;

protected:
    // Return whether something is available. Called with mutex_ held.
    virtual bool ready() const = 0;

    mutable std::mutex mutex_;

private:
    const HomeProcess home_;
    std::condition_variable changed_;
    std::shared_ptr<Waker> waker_;
    std::atomic<void*> waker_object_{nullptr};
    bool armed_ = false;
};

} // namespace xlc
