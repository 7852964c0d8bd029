#include "overrides/server/prompt_pace.h"

#include "overrides/access/steps.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace xlc {

namespace {

// Until a prompt has been read.
constexpr int32_t limit_of_unknown_speed = 64;

// The share of a new measurement in the estimate. Tokens far behind in a prompt take longer.
constexpr double new_share = 0.3;

std::atomic<double> pretended{0};
std::atomic<uint64_t> n_recorded{0};

void update(double& estimate, double measured) {
    estimate = estimate > 0 ? estimate + new_share * (measured - estimate) : measured;
}

} // namespace

double PromptPace::seconds_per_token() const {
    const double instead = pretended;
    return instead > 0 ? instead : measured_;
}

int32_t PromptPace::tokens_in(double seconds) const {
    const double n = std::floor(seconds / seconds_per_token());
    return n < no_limit ? std::max(static_cast<int32_t>(n), least) : no_limit;
}

int32_t PromptPace::limit_of(double seconds) const {
    return seconds_per_token() > 0 ? tokens_in(seconds) : limit_of_unknown_speed;
}

int32_t PromptPace::alone_limit() const {
    int32_t limit = no_limit;
    if (std::isfinite(alone_seconds_) && seconds_per_token() > 0) {
        limit = tokens_in(alone_seconds_);
    }
    const double n_by_node = measured_node_ > 0 ? std::floor(node_seconds / measured_node_) : no_limit;
    return n_by_node < limit ? std::max(static_cast<int32_t>(n_by_node), least_alone) : limit;
}

void PromptPace::record(int32_t n_tokens, double seconds, double longest_node, bool alone) {
    ++n_recorded;
    // Some single tokens take as long as the weights take to be read.
    if (n_tokens >= least) {
        update(measured_, seconds / n_tokens);
        update(measured_node_, longest_node / n_tokens);
    }
    if (alone) {
        alone_seconds_ *= 2;
    }
}

uint64_t PromptPace::n_parts() {
    return n_recorded;
}

void pretend_prompt_speed(double seconds_per_token) {
    pretended = seconds_per_token;
}

} // namespace xlc
