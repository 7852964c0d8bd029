// Converts seconds, which Python gives as double, for the clock.
#pragma once

#include <algorithm>
#include <chrono>

namespace xlc {

// Return the seconds as a duration that can be added to the present time: at least 0 and at most some 30
// years, also for infinity. NaN counts as 0.
inline std::chrono::steady_clock::duration to_duration(double seconds) {
    constexpr double longest = 1e9; // nanoseconds in 64 bits reach 292 years
    const double limited = seconds > 0 ? std::min(seconds, longest) : 0;
    return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(limited));
}

} // namespace xlc
