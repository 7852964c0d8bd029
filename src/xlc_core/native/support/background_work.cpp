#include "support/background_work.h"

#include "support/interruption.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <system_error>

namespace xlc {

void BackgroundWork::run(const std::function<void()>& work, const Poll& poll) {
    std::future<void> done;
    const auto stop = std::make_shared<StopFlag>(false);
    if (poll) {
        try {
            done = std::async(std::launch::async, [work, stop] {
                const Interruptible interruptible(*stop);
                work();
            });
        } catch (const std::system_error&) {
            // There are too many threads already.
        }
    }
    if (!done.valid()) {
        work();
        return;
    }
    try {
        wait_polling(done, poll);
    } catch (...) {
        *stop = true;
        std::lock_guard<std::mutex> lock(mutex_);
        const auto is_over = [](const std::future<void>& given_up) {
            return given_up.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
        };
        given_up_.erase(std::remove_if(given_up_.begin(), given_up_.end(), is_over), given_up_.end());
        given_up_.push_back(std::move(done));
        throw;
    }
    done.get();
}

void BackgroundWork::finish() {
    std::vector<std::future<void>> rest;
    std::lock_guard<std::mutex> lock(mutex_);
    rest.swap(given_up_);
}

} // namespace xlc
