#include "generation/generation.h"

namespace xlc {

std::vector<Event> Generation::take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (events_.empty() && error_) {
        throw *error_;
    }
    std::vector<Event> taken;
    taken.swap(events_);
    return taken;
}

bool Generation::finished() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return finished_;
}

void Generation::cancel() {
    if (const auto owner = owner_.lock()) {
        owner->cancel(*this);
    }
}

void Generation::add(std::vector<Event> events) {
    if (events.empty()) {
        return;
    }
    {
        std::lock_guard<std::mutex> lock(mutex_);
        events_.insert(
            events_.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
    }
    notify();
}

void Generation::finish() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        finished_ = true;
    }
    notify();
}

void Generation::fail(Error error) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (finished_) {
            return;
        }
        error_ = std::move(error);
        finished_ = true;
    }
    notify();
}

} // namespace xlc
