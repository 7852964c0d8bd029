// Waiting for the work of another thread, while a caller may give up.
#pragma once

#include <chrono>
#include <functional>
#include <future>

namespace xlc {

// Called about 20 times a second while a caller waits; throws to stop waiting.
using Poll = std::function<void()>;

// Wait until the result is there. Throws what `poll` throws.
template<typename Result> void wait_polling(const std::future<Result>& result, const Poll& poll) {
    constexpr auto interval = std::chrono::milliseconds(50);
    while (result.wait_for(interval) != std::future_status::ready) {
        poll();
    }
}

} // namespace xlc
