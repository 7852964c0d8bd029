// Ends a computation of llama.cpp's loop that nobody waits for any more. While the loop computes, another
// thread reads its queue (server_queue::yield_to_queue): it tells here which requests were given up, and that
// a new one has come. ggml asks between two nodes of a graph whether to go on.
//
// A computation is ended if everything in it is for requests that were given up. If it is also for others, it
// goes on: what they need would have to be computed again, and somebody who sends and cancels requests would
// stop everybody else. Such a computation is short (prompt_pace.h).
#pragma once

#include "support/logging.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

namespace xlc {

class StepWatch {
public:
    using Clock = std::chrono::steady_clock;
    using Undo = std::function<void()>;

    // One step of the loop, on its thread. Requests that were given up before are gone.
    class Step {
    public:
        explicit Step(StepWatch& watch);
        ~Step();
        Step(const Step&) = delete;
        Step& operator=(const Step&) = delete;

    private:
        LogCapture log_; // a computation that is ended logs errors
    };

    // While it lives, what this thread computes can be ended. Without tasks it cannot.
    class Computation {
    public:
        // `tasks`: the ids of the requests that it is for. `yields_after`: a new request ends it if it would
        // go on for longer than this; 0: never. `watch` may be nullptr.
        Computation(StepWatch* watch, std::vector<int> tasks, double expected_seconds = 0);
        ~Computation();
        Computation(const Computation&) = delete;
        Computation& operator=(const Computation&) = delete;

        bool ended() const;
        bool ended_for_newcomer() const;
        // How long it could not be ended at most: the longest time between two questions.
        double longest_node() const;

    private:
        StepWatch* watch_;
    };

    // The watch of this thread's step; nullptr outside of steps.
    static StepWatch* current();

    // From the thread that reads the queue.
    void give_up(int task);
    // From any thread: nobody waits for anything any more.
    void give_up_all();
    void greet_newcomer();

    // How to undo the batch that is computed; for draft models, which read it after the model.
    void set_undo(Undo undo, std::vector<int> tasks);
    const std::vector<int>& tasks_to_undo() const { return undo_tasks_; }
    bool can_undo() const { return static_cast<bool>(undo_); }
    void undo();

private:
    static bool ask(void* data);
    void check(); // with mutex_ held

    std::mutex mutex_;
    std::vector<int> tasks_;
    std::set<int> given_up_;
    Clock::time_point expected_end_;
    bool computing_ = false;
    bool yields_ = false;
    bool all_given_up_ = false;
    // Only the loop's thread uses these.
    bool held_ = false;
    Clock::time_point last_question_;
    Clock::duration longest_node_{};
    std::atomic<bool> stop_{false};
    std::atomic<bool> for_newcomer_{false};
    LogCapture* log_ = nullptr;
    Undo undo_;
    std::vector<int> undo_tasks_;
};

} // namespace xlc
