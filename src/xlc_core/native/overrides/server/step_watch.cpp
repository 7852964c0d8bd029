#include "overrides/server/step_watch.h"

#include "overrides/access/steps.h"
#include "overrides/ggml/compute_guard.h"
#include "overrides/server/prompt_pace.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace xlc {

namespace {

thread_local StepWatch* current_watch = nullptr;

std::atomic<bool> hold{false};
std::atomic<uint64_t> n_given_up{0};
std::atomic<uint64_t> n_for_newcomers{0};
std::atomic<uint64_t> n_held{0};

} // namespace

StepWatch* StepWatch::current() {
    return current_watch;
}

StepWatch::Step::Step(StepWatch& watch) {
    {
        const std::lock_guard<std::mutex> lock(watch.mutex_);
        watch.given_up_.clear();
    }
    watch.log_ = &log_;
    watch.undo_ = nullptr;
    current_watch = &watch;
}

StepWatch::Step::~Step() {
    current_watch->undo_ = nullptr;
    current_watch->log_ = nullptr;
    current_watch = nullptr;
}

StepWatch::Computation::Computation(StepWatch* watch, std::vector<int> tasks, double expected_seconds)
    : watch_(tasks.empty() ? nullptr : watch) {
    if (!watch_) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(watch_->mutex_);
        watch_->tasks_ = std::move(tasks);
        watch_->computing_ = true;
        watch_->yields_ = expected_seconds > 0;
        watch_->expected_end_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                   std::chrono::duration<double>(expected_seconds));
        watch_->stop_ = false;
        watch_->for_newcomer_ = false;
        watch_->check();
    }
    watch_->held_ = false;
    watch_->last_question_ = Clock::now();
    watch_->longest_node_ = {};
    xlc_set_stop(&StepWatch::ask, watch_);
}

StepWatch::Computation::~Computation() {
    if (!watch_) {
        return;
    }
    xlc_set_stop(nullptr, nullptr);
    const std::lock_guard<std::mutex> lock(watch_->mutex_);
    watch_->computing_ = false;
}

bool StepWatch::Computation::ended() const {
    return watch_ && watch_->stop_;
}

bool StepWatch::Computation::ended_for_newcomer() const {
    return ended() && watch_->for_newcomer_;
}

double StepWatch::Computation::longest_node() const {
    return watch_ ? std::chrono::duration<double>(watch_->longest_node_).count() : 0;
}

void StepWatch::check() {
    const auto given_up = [this](int task) { return given_up_.count(task) > 0; };
    if (!stop_ && computing_ && (all_given_up_ || std::all_of(tasks_.begin(), tasks_.end(), given_up))) {
        stop_ = true;
        ++n_given_up;
    }
}

void StepWatch::give_up(int task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    given_up_.insert(task);
    check();
}

void StepWatch::give_up_all() {
    const std::lock_guard<std::mutex> lock(mutex_);
    all_given_up_ = true;
    check();
}

void StepWatch::greet_newcomer() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (computing_ && yields_ && !stop_ &&
        expected_end_ - Clock::now() > std::chrono::duration<double>(PromptPace::shared_seconds)) {
        for_newcomer_ = true;
        stop_ = true;
        ++n_for_newcomers;
    }
}

void StepWatch::set_undo(Undo undo, std::vector<int> tasks) {
    undo_ = std::move(undo);
    undo_tasks_ = std::move(tasks);
}

void StepWatch::undo() {
    const Undo undo = std::move(undo_);
    undo_ = nullptr;
    undo();
}

// Called by ggml on the loop's thread, which computes too.
bool StepWatch::ask(void* data) {
    auto& watch = *static_cast<StepWatch*>(data);
    const Clock::time_point now = Clock::now();
    watch.longest_node_ = std::max(watch.longest_node_, now - watch.last_question_);
    watch.last_question_ = now;
    while (hold.load(std::memory_order_relaxed) && !watch.stop_) {
        if (!watch.held_) {
            watch.held_ = true;
            ++n_held;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const bool stop = watch.stop_.load(std::memory_order_relaxed);
    if (stop && watch.log_) {
        watch.log_->swallow();
    }
    return stop;
}

StepCounts step_counts() {
    StepCounts counts;
    counts.n_prompt_parts = PromptPace::n_parts();
    counts.n_given_up = n_given_up;
    counts.n_for_newcomers = n_for_newcomers;
    counts.n_held = n_held;
    return counts;
}

void hold_steps(bool held) {
    hold = held;
}

} // namespace xlc
