#include "constraints/closing_sampler.h"

#include "common.h"
#include "constraints/ending.h"
#include "constraints/waiting_sampler.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace xlc {

namespace {

using Ending = std::vector<llama_token>;

// The search for endings starts when fewer tokens than this are left. A longer ending is not found.
constexpr int32_t horizon = 1024;

// One token may open an object with many required properties. So every token is checked while only
// spare_tokens more than needed are left. Before that, a search now and then finds out how many are needed,
// and tokens outside of texts are checked, which may begin something much longer: one of several calls.
constexpr int32_t spare_tokens = 32;
constexpr int32_t tokens_between_looks = 8;
constexpr int32_t tokens_between_far_looks = 64; // while several times as many as needed are left

// This many of the likeliest tokens that the grammar allows are tried.
constexpr size_t n_tried = 4;

// The same before that, where a token is refused only if all that may follow it is too long.
constexpr size_t n_tried_far = 16;

// An ending that is longer than what is left is searched up to this length, to know that it is too long.
constexpr int32_t longest_ending = 2 * horizon;

class ClosingSampler {
public:
    ClosingSampler(llama_sampler* grammar, const llama_vocab* vocab, std::shared_ptr<Closing> closing)
        : grammar_(grammar), vocab_(vocab), closing_(std::move(closing)), n_left_(closing_->params.n_tokens),
          phase_(first_phase()) {}

    ClosingSampler(const ClosingSampler& other)
        : grammar_(llama_sampler_clone(other.grammar_)), vocab_(other.vocab_), finder_(other.finder_),
          closing_(other.closing_), n_left_(other.n_left_), phase_(other.phase_), gave_up_(other.gave_up_),
          tail_(other.tail_), ending_(other.ending_), tried_(other.tried_), length_(other.length_),
          longest_(other.longest_), n_left_at_next_look_(other.n_left_at_next_look_), hint_(other.hint_),
          n_left_at_next_check_(other.n_left_at_next_check_) {}

    ClosingSampler& operator=(const ClosingSampler&) = delete;

    ~ClosingSampler() { llama_sampler_free(grammar_); }

    const llama_sampler* grammar() const { return grammar_; }

    void accept(llama_token token) {
        watch_thinking(token);
        llama_sampler_accept(grammar_, token);
        --n_left_;
        if (const Tried* const tried = find_tried(token)) {
            ending_ = tried->ending;
        } else if (ending_ && !ending_->empty() && ending_->front() == token) {
            ending_->erase(ending_->begin());
        } else {
            hint_ = ending_ ? std::move(*ending_) : std::move(hint_);
            ending_.reset();
        }
        tried_.clear();
    }

    void apply(llama_token_data_array& candidates) {
        llama_sampler_apply(grammar_, &candidates);
        if (gave_up_ || n_left_ > horizon || grammar_begun(grammar_) == nullptr) {
            return;
        }
        try {
            if (!must_look()) {
                refuse_dead_ends(candidates);
            } else if (candidates.size == 1) {
                check(candidates.data[0]);
            } else {
                keep_tokens_with_ending(candidates);
            }
        } catch (const std::exception&) {
            gave_up_ = true; // llguidance refuses to search further: the answer is cut at its last token
        }
    }

    void reset() {
        llama_sampler_reset(grammar_);
        n_left_ = closing_->params.n_tokens;
        phase_ = first_phase();
        n_left_at_next_check_ = horizon;
        ending_.reset();
        hint_.clear();
        tried_.clear();
        tail_.clear();
    }

private:
    struct Tried {
        llama_token token;
        std::optional<Ending> ending; // after the token, if one fits
    };

    enum class Phase { before_thinking, thinking, answer };

    Phase first_phase() const {
        if (closing_->params.thinking_ends.empty()) {
            return Phase::answer;
        }
        return closing_->params.thinking_start.empty() ? Phase::thinking : Phase::before_thinking;
    }

    const EndingFinder& finder() {
        if (!finder_) {
            finder_ = std::make_shared<EndingFinder>(
                vocab_, closing_->params.thinking_ends, closing_->params.text_ends, closing_->params.parts);
        }
        return *finder_;
    }

    // Search for an ending from here, if none is known. Return whether there is one.
    bool find_ending() {
        if (!ending_) {
            ending_ = finder().find(grammar_, phase_ == Phase::thinking, n_left_);
        }
        return ending_.has_value();
    }

    // Search for an ending if it is time to. Return whether tokens must be checked.
    bool must_look() {
        if (n_left_ <= n_left_at_next_look_ || (is_near() && length_ > 0)) {
            length_ = find_ending() ? static_cast<int32_t>(ending_->size()) : 0;
            longest_ = std::max(longest_, length_);
            const bool far = length_ > 0 && n_left_ > 4 * longest_;
            n_left_at_next_look_ = n_left_ - (far ? tokens_between_far_looks : tokens_between_looks);
        }
        return ending_ && is_near();
    }

    // An answer that could end now may begin another call, or element of a list, that is as long as those
    // before.
    bool is_near() const { return n_left_ <= longest_ + longest_ / 2 + spare_tokens; }

    const Tried* find_tried(llama_token token) const {
        const auto found = std::find_if(
            tried_.begin(), tried_.end(), [&](const Tried& tried) { return tried.token == token; });
        return found == tried_.end() ? nullptr : &*found;
    }

    // Return an ending of at most n_max tokens after a token.
    std::optional<Ending> ending_after(llama_token token, int32_t n_max) {
        const Ending& known = ending_ ? *ending_ : hint_; // most often it still fits inside a text
        const bool continues = !known.empty() && known.front() == token;
        Ending rest(known.begin() + (continues ? 1 : 0), known.end());
        if (continues && ending_) {
            return rest;
        }
        if (!rest.empty() && static_cast<int32_t>(rest.size()) < n_left_) {
            Ending whole{token};
            whole.insert(whole.end(), rest.begin(), rest.end());
            if (EndingFinder::is_ending(grammar_, whole)) {
                return rest;
            }
        }
        ClosingSampler after(*this);
        after.watch_thinking(token);
        llama_sampler_accept(after.grammar_, token);
        return finder().find(after.grammar_, after.phase_ == Phase::thinking, n_max);
    }

    bool can_be_ended_after(llama_token token) {
        if (finder().ends_answer(token)) {
            return true;
        }
        if (const Tried* const tried = find_tried(token)) {
            return tried->ending.has_value();
        }
        tried_.push_back({token, ending_after(token, n_left_ - 1)});
        return tried_.back().ending.has_value();
    }

    // Whether the shortest ending after a token is known to be too long, while there is another ending.
    bool is_dead_end(llama_token token) {
        if (finder().ends_answer(token) || finder().is_inside_text(grammar_, token)) {
            return false;
        }
        if (const Tried* const tried = find_tried(token)) {
            return !tried->ending;
        }
        std::optional<Ending> ending = ending_after(token, longest_ending);
        if (!ending) {
            n_left_at_next_check_ =
                n_left_ - tokens_between_far_looks; // the search is long and finds nothing
            return false;
        }
        if (static_cast<int32_t>(ending->size()) < n_left_) {
            tried_.push_back({token, std::move(ending)});
            return false;
        }
        if (!find_ending()) {
            return false;
        }
        tried_.push_back({token, std::nullopt});
        return true;
    }

    // Far from the limit: refuse the likeliest tokens that begin what cannot be finished any more.
    void refuse_dead_ends(llama_token_data_array& candidates) {
        if (phase_ == Phase::thinking || n_left_ > n_left_at_next_check_) {
            return;
        }
        std::vector<llama_token_data*> allowed;
        for (size_t i = 0; i < candidates.size; ++i) {
            if (!std::isinf(candidates.data[i].logit)) {
                allowed.push_back(&candidates.data[i]);
            }
        }
        if (allowed.size() == 1 && candidates.size > 1) {
            return; // only one token is allowed
        }
        const size_t n = std::min(n_tried_far, allowed.size());
        const auto likelier = [](const llama_token_data* a, const llama_token_data* b) {
            return a->logit > b->logit;
        };
        std::partial_sort(
            allowed.begin(), allowed.begin() + static_cast<std::ptrdiff_t>(n), allowed.end(), likelier);
        for (size_t i = 0; i < n; ++i) {
            if (is_dead_end(allowed[i]->id)) {
                allowed[i]->logit = -INFINITY;
                closing_->forced = true;
            }
        }
    }

    void check(llama_token_data& candidate) {
        if (!std::isinf(candidate.logit) && !can_be_ended_after(candidate.id)) {
            candidate.logit = -INFINITY;
            closing_->forced = true;
        }
    }

    // Keep the first token of an ending, and each of the likeliest tokens after which an ending fits.
    void keep_tokens_with_ending(llama_token_data_array& candidates) {
        std::vector<llama_token_data> likeliest(std::min(n_tried, candidates.size));
        const auto likelier = [](const llama_token_data& a, const llama_token_data& b) {
            return a.logit > b.logit;
        };
        std::partial_sort_copy(
            candidates.data, candidates.data + candidates.size, likeliest.begin(), likeliest.end(), likelier);
        std::vector<llama_token> kept;
        for (const llama_token_data& candidate : likeliest) {
            if (!std::isinf(candidate.logit) && can_be_ended_after(candidate.id)) {
                kept.push_back(candidate.id);
            }
        }
        if (kept.empty()) {
            kept.push_back(ending_->front());
            closing_->forced = true;
        }
        for (size_t i = 0; i < candidates.size; ++i) {
            if (std::find(kept.begin(), kept.end(), candidates.data[i].id) == kept.end()) {
                candidates.data[i].logit = -INFINITY;
            }
        }
    }

    void watch_thinking(llama_token token) {
        if (phase_ == Phase::answer) {
            return;
        }
        tail_ += common_token_to_piece(vocab_, token, true);
        const auto contains = [&](const std::string& tag) { return tail_.find(tag) != std::string::npos; };
        if (phase_ == Phase::before_thinking && contains(closing_->params.thinking_start)) {
            phase_ = Phase::thinking;
        }
        const std::vector<std::string>& ends = closing_->params.thinking_ends;
        if (phase_ == Phase::thinking && std::any_of(ends.begin(), ends.end(), contains)) {
            phase_ = Phase::answer;
        }
        constexpr size_t kept = 64;
        tail_.erase(0, tail_.size() - std::min(tail_.size(), kept));
    }

    llama_sampler* grammar_;
    const llama_vocab* vocab_;
    std::shared_ptr<const EndingFinder> finder_; // created at first use: most answers end long before
    std::shared_ptr<Closing> closing_;
    int32_t n_left_;
    Phase phase_;
    bool gave_up_ = false;
    std::string tail_;             // last characters of the thinking
    std::optional<Ending> ending_; // an ending from here
    std::vector<Tried> tried_;     // tokens checked since the last accepted token
    int32_t length_ = 0;           // length of the last ending that was found, or 0
    int32_t longest_ = 0;          // the greatest length so far
    int32_t n_left_at_next_look_ = horizon;
    Ending hint_;                            // the last ending that was known; it may still be one
    int32_t n_left_at_next_check_ = horizon; // for dead ends
};

ClosingSampler& state_of(llama_sampler* sampler) {
    return *static_cast<ClosingSampler*>(sampler->ctx);
}

const char* name(const llama_sampler* /*sampler*/) {
    return "closing";
}

void accept(llama_sampler* sampler, llama_token token) {
    state_of(sampler).accept(token);
}

void apply(llama_sampler* sampler, llama_token_data_array* candidates) {
    state_of(sampler).apply(*candidates);
}

void reset(llama_sampler* sampler) {
    state_of(sampler).reset();
}

llama_sampler* clone(const llama_sampler* sampler);

void free_state(llama_sampler* sampler) {
    delete static_cast<ClosingSampler*>(sampler->ctx);
}

llama_sampler_i sampler_interface = {
    /* .name              = */ name,
    /* .accept            = */ accept,
    /* .apply             = */ apply,
    /* .reset             = */ reset,
    /* .clone             = */ clone,
    /* .free              = */ free_state,
    /* .backend_init      = */ nullptr,
    /* .backend_accept    = */ nullptr,
    /* .backend_apply     = */ nullptr,
    /* .backend_set_input = */ nullptr,
    /* .backend_reset     = */ nullptr,
    /* .copy_state        = */ nullptr, // llama_sampler_copy() then clones
};

llama_sampler* clone(const llama_sampler* sampler) {
    return llama_sampler_init(
        &sampler_interface, new ClosingSampler(*static_cast<const ClosingSampler*>(sampler->ctx)));
}

} // namespace

llama_sampler*
closing_sampler(llama_sampler* grammar, const llama_vocab* vocab, std::shared_ptr<Closing> closing) {
    return llama_sampler_init(&sampler_interface, new ClosingSampler(grammar, vocab, std::move(closing)));
}

const llama_sampler* grammar_inside(const llama_sampler* sampler) {
    if (sampler == nullptr || sampler->iface != &sampler_interface) {
        return sampler;
    }
    return static_cast<const ClosingSampler*>(sampler->ctx)->grammar();
}

} // namespace xlc
