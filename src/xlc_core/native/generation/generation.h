// One running request, and its events that were not taken yet.
#pragma once

#include "generation/event.h"
#include "support/errors.h"
#include "support/waitable.h"

#include <atomic>
#include <deque>
#include <memory>
#include <optional>

namespace xlc {

class Generation;

// Runs generations and can stop one.
class GenerationOwner {
public:
    virtual ~GenerationOwner() = default;
    virtual void cancel(Generation& generation) = 0;
};

class Generation : public Waitable {
public:
    explicit Generation(std::weak_ptr<GenerationOwner> owner) : owner_(std::move(owner)) {}

    // Return all events since the last call, perhaps none. Throws the error that ended the generation after
    // all events before it were taken.
    std::vector<Event> take();

    // Whether all events were taken and the generation has ended.
    bool finished() const;

    // Frees the slot. Earlier events can still be taken; no error follows.
    void cancel() override;
    bool is_over() const override { return finished_; }

    // Ends the model's thinking, so that it answers. No effect if it does not think.
    void stop_thinking() { *stop_thinking_ = true; }
    const std::shared_ptr<std::atomic<bool>>& thinking_switch() const { return stop_thinking_; }

    // Called by the owner.
    void add(std::vector<Event> events);
    void finish();
    void fail(Error error);

protected:
    bool ready() const override { return !events_.empty() || error_ || finished_; }

private:
    std::weak_ptr<GenerationOwner> owner_;
    const std::shared_ptr<std::atomic<bool>> stop_thinking_ = std::make_shared<std::atomic<bool>>(false);
    std::vector<Event> events_;
    std::optional<Error> error_;
    std::atomic<bool> finished_{false}; // written with mutex_ held
};

} // namespace xlc
