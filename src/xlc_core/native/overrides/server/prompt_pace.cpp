#include "overrides/server/prompt_pace.h"

#include "overrides/access/steps.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace xlc {

namespace {

// With fewer tokens, products of weights take almost as long (kernels/weight_product.cpp).
constexpr int32_t efficient_tokens = 64;

// A step with so many may take so much longer than it should.
constexpr double tolerated_seconds = 0.05;

// The share of a new measurement in the estimate. Tokens far behind in a prompt take longer.
constexpr double new_share = 0.3;

// A large step may have been slow because of other programs. Each small step lowers the estimate for large
// ones by this share, down to this share of its own, until one is tried again.
constexpr double forgotten_share = 0.01;
constexpr double best_large = 0.4;

// The longest operation grows with the prompt, but hardly from part to part. If it does, another program ran.
constexpr double most_growth = 1.1;

std::atomic<double> pretended{0};
std::atomic<uint64_t> n_recorded{0};

void update(double& estimate, double measured) {
    estimate = estimate > 0 ? estimate + new_share * (measured - estimate) : measured;
}

} // namespace

double PromptPace::seconds_per_token() const {
    const double instead = pretended;
    return instead > 0 ? instead : large_ > 0 ? large_ : small_;
}

int32_t PromptPace::tokens_in(double seconds) const {
    const double n = std::floor(seconds / seconds_per_token());
    return n < no_limit ? std::max(static_cast<int32_t>(n), least) : no_limit;
}

int32_t PromptPace::limit_of(double seconds) const {
    if (seconds_per_token() <= 0) {
        return efficient_tokens;
    }
    const int32_t n = tokens_in(seconds);
    if (pretended > 0 || n >= efficient_tokens || large_ <= 0) {
        return n;
    }
    if (efficient_tokens * large_ <= seconds + tolerated_seconds) {
        return efficient_tokens;
    }
    return small_ > 0 ? std::clamp(static_cast<int32_t>(seconds / small_), least, efficient_tokens) : n;
}

int32_t PromptPace::alone_limit() const {
    int32_t limit = no_limit;
    if (std::isfinite(alone_seconds_) && seconds_per_token() > 0) {
        limit = tokens_in(alone_seconds_);
    }
    const double n_by_node = node_ > 0 && pretended <= 0 ? std::floor(node_seconds / node_) : no_limit;
    return n_by_node < limit ? std::max(static_cast<int32_t>(n_by_node), least_alone) : limit;
}

void PromptPace::record(int32_t n_tokens, double seconds, double longest_node, bool alone) {
    ++n_recorded;
    if (alone) {
        alone_seconds_ *= 2;
    }
    if (n_tokens < least) {
        return; // some single tokens take as long as the weights take to be read
    }
    const double node = longest_node / n_tokens;
    node_ = node_ > 0 ? std::min(node, most_growth * node_) : node;
    if (n_tokens >= efficient_tokens) {
        update(large_, seconds / n_tokens);
    } else {
        update(small_, seconds / n_tokens);
        large_ = std::max((1 - forgotten_share) * large_, std::min(large_, best_large * small_));
    }
}

uint64_t PromptPace::n_parts() {
    return n_recorded;
}

void pretend_prompt_speed(double seconds_per_token) {
    pretended = seconds_per_token;
}

} // namespace xlc
