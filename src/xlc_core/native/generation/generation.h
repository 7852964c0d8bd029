// One request under way: the events that it has produced and that nobody has taken yet.
#pragma once

#include "generation/event.h"
#include "support/errors.h"
#include "support/waitable.h"

#include <deque>
#include <memory>
#include <optional>

namespace xlc {

class Generation;

// Who runs generations and can stop one.
class GenerationOwner {
public:
    virtual ~GenerationOwner() = default;
    virtual void cancel(Generation& generation) = 0;
};

class Generation : public Waitable {
public:
    explicit Generation(std::weak_ptr<GenerationOwner> owner) : owner_(std::move(owner)) {}

    // All events since the last call, maybe none. Throws the error that ended the generation once the events
    // before it are taken.
    std::vector<Event> take();

    // Nothing more will come.
    bool finished() const;

    // Frees the slot. What was produced before may still be taken; no error follows.
    void cancel() override;

    // Has the model answer instead of thinking on; nothing happens where it does not think.
    void stop_thinking() { *stop_thinking_ = true; }
    const std::shared_ptr<std::atomic<bool>>& thinking_switch() const { return stop_thinking_; }

    // For the owner.
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
    bool finished_ = false;
};

} // namespace xlc
