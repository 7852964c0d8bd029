// Answers that end before their tokens run out: how many tokens an answer has, and whether that decided how
// it ended. A request and its sampler share one Closing. llama.cpp makes the sampler from the request's
// grammar and nothing else, so the grammar's text carries the Closing's number in a comment.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace xlc {

struct ClosingParams {
    int32_t n_tokens = 0;       // of the answer, thinking and end token included
    std::string thinking_start; // what opens free thinking before the answer; empty: the prompt has
    std::vector<std::string> thinking_ends; // what ends it; empty when there is no thinking
};

struct Closing {
    explicit Closing(ClosingParams how) : params(std::move(how)) {}

    const ClosingParams params;
    std::atomic<bool> forced{false}; // the model would have gone on
};

// Writes a mark into the grammar, in the place of an earlier one.
void mark_closing(std::string& grammar, const std::shared_ptr<Closing>& closing);

// Whose mark the grammar carries; nullptr when there is none, or the request is gone.
std::shared_ptr<Closing> closing_of(const std::string& grammar);

} // namespace xlc
