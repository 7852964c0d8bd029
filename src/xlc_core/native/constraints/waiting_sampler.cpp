#include "constraints/waiting_sampler.h"

#include "constraints/grammar_steps.h"

#include "common.h"
#include "llama-cpp.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

namespace xlc {

namespace {

// Texts that patterns look for are shorter, and std::regex recurses for each character.
constexpr size_t pattern_reach = 512;

constexpr size_t kept_text = 2048; // of the text before a trigger

constexpr size_t n_checked = 256; // likeliest tokens that are checked when a trigger did not fit

// Where the grammar begins in a text that a pattern matches.
size_t start_of(const std::smatch& match) {
    for (size_t i = 1; i < match.size(); ++i) {
        if (match.length(i) > 0) {
            return static_cast<size_t>(match.position(i));
        }
    }
    return static_cast<size_t>(match.position(0));
}

class WaitingSampler {
public:
    WaitingSampler(llama_sampler* grammar, const llama_vocab* vocab, Triggers triggers)
        : grammar_(grammar), vocab_(vocab), triggers_(std::make_shared<const Triggers>(std::move(triggers))),
          thinking_(triggers_->thinking) {}

    WaitingSampler(const WaitingSampler& other)
        : grammar_(llama_sampler_clone(other.grammar_.get())), vocab_(other.vocab_),
          triggers_(other.triggers_), begun_(other.begun_), thinking_(other.thinking_),
          n_dropped_(other.n_dropped_), text_(other.text_), tokens_(other.tokens_) {}

    WaitingSampler& operator=(const WaitingSampler&) = delete;

    const llama_sampler* grammar_begun() const { return begun_ ? grammar_.get() : nullptr; }

    void accept(llama_token token) {
        if (begun_) {
            llama_sampler_accept(grammar_.get(), token);
            return;
        }
        const std::string piece = common_token_to_piece(vocab_, token, true);
        if (const std::optional<std::vector<llama_token>> begin = begins_with(token, piece)) {
            begun_ = true;
            for (const llama_token part : *begin) {
                llama_sampler_accept(grammar_.get(), part);
            }
            return;
        }
        tokens_.emplace_back(token, piece.size());
        text_ += piece;
        watch_thinking();
        while (text_.size() > 2 * kept_text) {
            text_.erase(0, tokens_.front().second);
            n_dropped_ += tokens_.front().second;
            tokens_.erase(tokens_.begin());
        }
    }

    void apply(llama_token_data_array& candidates) {
        if (begun_) {
            llama_sampler_apply(grammar_.get(), &candidates);
            return;
        }
        if (candidates.size == 1) {
            check(candidates.data[0]);
            return;
        }
        std::vector<llama_token_data*> likeliest(candidates.size);
        for (size_t i = 0; i < candidates.size; ++i) {
            likeliest[i] = &candidates.data[i];
        }
        const size_t n = std::min(n_checked, likeliest.size());
        std::partial_sort(
            likeliest.begin(), likeliest.begin() + static_cast<ptrdiff_t>(n), likeliest.end(),
            [](const auto* a, const auto* b) { return a->logit > b->logit; });
        for (size_t i = 0; i < likeliest.size(); ++i) {
            if (i < n) {
                check(*likeliest[i]);
            } else {
                likeliest[i]->logit = -INFINITY;
            }
        }
    }

    void reset() {
        llama_sampler_reset(grammar_.get());
        begun_ = false;
        thinking_ = triggers_->thinking;
        n_dropped_ = 0;
        text_.clear();
        tokens_.clear();
    }

private:
    // Refuse a token that completes a trigger and has more text, which the grammar does not allow.
    void check(llama_token_data& candidate) const {
        if (std::isinf(candidate.logit)) {
            return;
        }
        const std::string piece = common_token_to_piece(vocab_, candidate.id, true);
        const std::optional<std::vector<llama_token>> begin = begins_with(candidate.id, piece);
        if (!begin) {
            return;
        }
        if (count_fitting(grammar_.get(), *begin) < begin->size()) {
            candidate.logit = -INFINITY;
        }
    }

    // Return the tokens that the grammar begins with, if the next token completes a trigger.
    std::optional<std::vector<llama_token>> begins_with(llama_token token, const std::string& piece) const {
        const std::string text = text_ + piece;
        if (thinking_ && call_in(text) == std::string::npos) {
            return std::nullopt;
        }
        const std::vector<llama_token>& marks = triggers_->tokens;
        if (std::find(marks.begin(), marks.end(), token) != marks.end()) {
            return std::vector<llama_token>{token};
        }
        const std::optional<size_t> start = start_in(text);
        if (!start || (thinking_ && *start < call_in(text))) {
            return std::nullopt;
        }
        std::vector<std::pair<llama_token, size_t>> all = tokens_;
        all.emplace_back(token, piece.size());
        std::vector<llama_token> out;
        size_t at = 0;
        for (const auto& [one, size] : all) {
            if (at >= *start) {
                out.push_back(one);
            } else if (at + size > *start) {
                const std::vector<llama_token> rest = tokens_of(text.substr(*start, at + size - *start));
                out.insert(out.end(), rest.begin(), rest.end());
            }
            at += size;
        }
        return out;
    }

    // Return where a call ends the thinking.
    size_t call_in(const std::string& text) const {
        size_t first = std::string::npos;
        for (const std::string& opening : triggers_->call_openings) {
            first = std::min(first, text.find(opening));
        }
        return first;
    }

    std::optional<size_t> start_in(const std::string& text) const {
        std::optional<size_t> first;
        const auto found_at = [&](size_t start) { first = std::min(start, first.value_or(start)); };
        for (const std::string& word : triggers_->words) {
            if (const size_t at = text.find(word); at != std::string::npos) {
                found_at(at);
            }
        }
        const size_t skipped = text.size() - std::min(text.size(), pattern_reach);
        const std::string part = text.substr(skipped);
        const auto flags = n_dropped_ + skipped == 0 ? std::regex_constants::match_default
                                                     : std::regex_constants::match_not_bol;
        for (const std::regex& regex : triggers_->patterns) {
            if (std::smatch match; std::regex_search(part, match, regex, flags)) {
                found_at(skipped + start_of(match));
            }
        }
        return first;
    }

    // The tokens of the part of a token's text. Any tokens with these bytes will do.
    std::vector<llama_token> tokens_of(const std::string& text) const {
        std::vector<llama_token> found = common_tokenize(vocab_, text, false, true);
        std::string read;
        for (const llama_token one : found) {
            read += common_token_to_piece(vocab_, one, true);
        }
        if (read == text) {
            return found;
        }
        found.clear();
        size_t at = 0;
        while (at < text.size()) {
            llama_token best = LLAMA_TOKEN_NULL;
            size_t length = 0;
            for (llama_token id = 0; id < llama_vocab_n_tokens(vocab_); ++id) {
                const std::string piece = common_token_to_piece(vocab_, id, false);
                if (piece.size() > length && text.compare(at, piece.size(), piece) == 0) {
                    best = id;
                    length = piece.size();
                }
            }
            if (length == 0) {
                break; // the grammar then refuses what follows
            }
            found.push_back(best);
            at += length;
        }
        return found;
    }

    void watch_thinking() {
        const auto forget = [&] {
            n_dropped_ += text_.size();
            text_.clear();
            tokens_.clear();
        };
        const std::vector<std::string>& ends = triggers_->thinking_ends;
        const auto contains = [&](const std::string& tag) { return text_.find(tag) != std::string::npos; };
        if (ends.empty()) {
            return;
        }
        if (!thinking_ && !triggers_->thinking_start.empty() && contains(triggers_->thinking_start)) {
            thinking_ = true;
            forget();
        } else if (thinking_ && std::any_of(ends.begin(), ends.end(), contains)) {
            thinking_ = false;
            forget();
            n_dropped_ = 0; // the answer begins here
        } else if (size_t at = call_in(text_); thinking_ && at != std::string::npos) {
            thinking_ = false;
            while (tokens_.front().second <= at) {
                const size_t size = tokens_.front().second;
                at -= size;
                n_dropped_ += size;
                text_.erase(0, size);
                tokens_.erase(tokens_.begin());
            }
        }
    }

    llama_sampler_ptr grammar_;
    const llama_vocab* vocab_;
    std::shared_ptr<const Triggers> triggers_;
    bool begun_ = false;
    bool thinking_;
    size_t n_dropped_ = 0;                               // bytes of the answer before text_
    std::string text_;                                   // the end of the answer so far
    std::vector<std::pair<llama_token, size_t>> tokens_; // the tokens of text_ and their sizes
};

WaitingSampler& state_of(llama_sampler* sampler) {
    return *static_cast<WaitingSampler*>(sampler->ctx);
}

const char* name(const llama_sampler* /*sampler*/) {
    return "waiting";
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
    delete static_cast<WaitingSampler*>(sampler->ctx);
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
        &sampler_interface, new WaitingSampler(*static_cast<const WaitingSampler*>(sampler->ctx)));
}

} // namespace

llama_sampler* waiting_sampler(llama_sampler* grammar, const llama_vocab* vocab, Triggers triggers) {
    return llama_sampler_init(&sampler_interface, new WaitingSampler(grammar, vocab, std::move(triggers)));
}

bool is_waiting_sampler(const llama_sampler* sampler) {
    return sampler != nullptr && sampler->iface == &sampler_interface;
}

const llama_sampler* grammar_begun(const llama_sampler* sampler) {
    return is_waiting_sampler(sampler) ? static_cast<const WaitingSampler*>(sampler->ctx)->grammar_begun()
                                       : sampler;
}

} // namespace xlc
