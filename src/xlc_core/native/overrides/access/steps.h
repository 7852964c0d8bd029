// How the loop's steps are sized and ended, for tests: overrides/server/step_watch.h and prompt_pace.h.
#pragma once

#include <cstdint>

namespace xlc {

// Counters of this process.
struct StepCounts {
    uint64_t n_prompt_parts = 0;  // computations that read a part of a prompt to its end
    uint64_t n_given_up = 0;      // computations that ended early, because nobody waited for them
    uint64_t n_for_newcomers = 0; // computations of long parts that ended early for a new request
    uint64_t n_held = 0;          // computations that hold_steps() has stopped
};
StepCounts step_counts();

// For tests, for all engines: computations of requests wait between two nodes until they are ended, or until
// this is called with false.
void hold_steps(bool hold);

// For tests, for all engines: how long a token of a prompt takes is not measured. 0: it is measured.
void pretend_prompt_speed(double seconds_per_token);

} // namespace xlc
