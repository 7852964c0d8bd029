// The order in which prompts are read: the request that was served longest ago comes first.
#pragma once

#include "overrides/server/prompt_pace.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace xlc {

// The prompts that a step may read.
struct StepPlan {
    int32_t n_prompt_tokens = PromptPace::no_limit;
    bool alone = false;  // one request is in work
    bool yields = false; // a new request may end the step
};

class PromptTurns {
public:
    // Return the requests of these (task ids) in the order of their turns.
    std::vector<int> in_order(std::vector<int> tasks) {
        forget_others(tasks);
        std::sort(tasks.begin(), tasks.end(), [this](int one, int other) {
            return std::make_pair(last_turn(one), one) < std::make_pair(last_turn(other), other);
        });
        return tasks;
    }

    void record(int task) { turns_[task] = ++n_turns_; }

private:
    uint64_t last_turn(int task) const {
        const auto found = turns_.find(task);
        return found == turns_.end() ? 0 : found->second;
    }
    void forget_others(const std::vector<int>& tasks) {
        for (auto turn = turns_.begin(); turn != turns_.end();) {
            const bool is_known = std::find(tasks.begin(), tasks.end(), turn->first) != tasks.end();
            turn = is_known ? std::next(turn) : turns_.erase(turn);
        }
    }

    std::map<int, uint64_t> turns_; // by task id
    uint64_t n_turns_ = 0;
};

} // namespace xlc
