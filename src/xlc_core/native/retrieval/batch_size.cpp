#include "retrieval/batch_size.h"

#include <algorithm>
#include <cstddef>

namespace xlc {

namespace {

constexpr size_t n_rounds = 3;
constexpr double as_fast = 0.97;        // share of the best speed that counts as equally fast
constexpr double longest_seconds = 0.5; // other requests may have to wait this long for a trial

} // namespace

BatchSize::BatchSize(const std::vector<size_t>& candidates) {
    for (const size_t n_tokens : candidates) {
        trials_.push_back({n_tokens});
    }
}

size_t BatchSize::largest() const {
    size_t most = 0;
    for (const Trial& trial : trials_) {
        most = std::max(most, trial.n_tokens);
    }
    return most;
}

void BatchSize::record(size_t n_tokens, bool is_full, double seconds) {
    Trial& trial = trials_[current_];
    const bool tells = n_tokens <= trial.n_tokens && (is_full || 2 * n_tokens > trial.n_tokens);
    if (trials_.size() == 1 || !tells || seconds <= 0.0) {
        return;
    }
    trial.tokens_per_second = std::max(trial.tokens_per_second, static_cast<double>(n_tokens) / seconds);
    const bool last_round = ++trial.n_runs == n_rounds;
    const double most_tokens = trial.tokens_per_second * longest_seconds;
    ++current_;
    while (current_ < trials_.size() && static_cast<double>(trials_[current_].n_tokens) > most_tokens &&
           trials_[current_].n_tokens > trials_.front().n_tokens) {
        trials_.erase(trials_.begin() + static_cast<std::ptrdiff_t>(current_));
    }
    if (current_ == trials_.size()) {
        current_ = 0;
        if (last_round) {
            settle();
        }
    }
}

void BatchSize::settle() {
    double fastest = 0.0;
    for (const Trial& trial : trials_) {
        fastest = std::max(fastest, trial.tokens_per_second);
    }
    Trial best{largest()};
    for (const Trial& trial : trials_) {
        if (trial.tokens_per_second >= as_fast * fastest && trial.n_tokens <= best.n_tokens) {
            best = trial;
        }
    }
    trials_ = {best};
    current_ = 0;
}

} // namespace xlc
