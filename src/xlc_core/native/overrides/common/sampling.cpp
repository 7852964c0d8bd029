// llama.cpp's common/sampling.cpp, with llguidance grammars that wait for a trigger, grammars that are
// closed before the tokens run out, thinking
// that can be ended, an accessor for the grammar, and checks of numbers that a model file may set.

#include "constraints/closing_sampler.h"
#include "constraints/waiting_sampler.h"
#include "overrides/access/drafting.h"
#include "overrides/access/thinking.h"

#include "sampling.h"

#include <algorithm>
#include <cmath>

namespace {

// A buffer has a place for each token that a penalty looks back. SamplingOptions has the same limit.
constexpr int32_t most_looked_back = 1 << 20;

// Below it the likeliest token is certain anyway, but logits divided by it may be infinite.
constexpr float least_temperature = 1e-5F;

// A model file may contain any numbers for samplers. Infinity and NaN would make sampling undefined
// behaviour, and llama.cpp would abort at an unknown version of Mirostat.
void make_safe(common_params_sampling& params) {
    const common_params_sampling defaults;
    for (const auto field :
         {&common_params_sampling::top_p, &common_params_sampling::min_p, &common_params_sampling::typ_p,
          &common_params_sampling::xtc_probability, &common_params_sampling::xtc_threshold,
          &common_params_sampling::temp, &common_params_sampling::dynatemp_range,
          &common_params_sampling::dynatemp_exponent, &common_params_sampling::penalty_repeat,
          &common_params_sampling::penalty_freq, &common_params_sampling::penalty_present,
          &common_params_sampling::dry_multiplier, &common_params_sampling::dry_base,
          &common_params_sampling::adaptive_target, &common_params_sampling::adaptive_decay,
          &common_params_sampling::top_n_sigma, &common_params_sampling::mirostat_tau,
          &common_params_sampling::mirostat_eta}) {
        if (!std::isfinite(params.*field)) {
            params.*field = defaults.*field;
        }
    }
    if (params.penalty_repeat <= 0) { // logits are divided by it
        params.penalty_repeat = defaults.penalty_repeat;
    }
    if (params.temp < least_temperature) {
        params.temp = std::min(params.temp, 0.0F);
    }
    if (params.mirostat < 0 || params.mirostat > 2) {
        params.mirostat = defaults.mirostat;
    }
    params.penalty_last_n = std::min(params.penalty_last_n, most_looked_back);
    params.dry_penalty_last_n = std::min(params.dry_penalty_last_n, most_looked_back);
    params.n_prev = std::min(params.n_prev, most_looked_back);
}

// llama.cpp would use an llguidance grammar from the first token.
bool must_wait(const common_params_sampling& params) {
    return params.grammar_lazy && common_grammar_value(params.grammar).compare(0, 11, "%llguidance") == 0;
}

std::string text_of(const llama_vocab* vocab, const std::vector<llama_token>& tokens) {
    std::string text;
    for (const llama_token token : tokens) {
        if (token != LLAMA_TOKEN_NULL) {
            text += common_token_to_piece(vocab, token, true);
        }
    }
    return text;
}

xlc::Triggers triggers_of(const common_params_sampling& params, const llama_vocab* vocab) {
    xlc::Triggers out;
    for (const common_grammar_trigger& trigger : params.grammar_triggers) {
        switch (trigger.type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
            out.tokens.push_back(trigger.token);
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
            (trigger.token == xlc::call_opening_mark ? out.call_openings : out.words)
                .push_back(trigger.value);
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
            out.patterns.emplace_back(trigger.value);
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
            out.patterns.emplace_back("^(?:" + trigger.value + ")$");
            break;
        }
    }
    out.thinking_start = text_of(vocab, params.reasoning_budget_start);
    for (const auto& tokens : params.reasoning_budget_end) {
        const std::string end = text_of(vocab, tokens);
        if (std::find(out.call_openings.begin(), out.call_openings.end(), end) == out.call_openings.end()) {
            out.thinking_ends.push_back(end);
        }
    }
    out.thinking = xlc::control_of(params).opened && !out.thinking_ends.empty();
    return out;
}

} // namespace

common_sampler* llama_cpp_sampler_init(const llama_model* model, common_params_sampling& params);
#define common_sampler_init llama_cpp_sampler_init
#include "common/sampling.cpp"
#undef common_sampler_init

// Like llama.cpp's, but an llguidance grammar can wait for a trigger, a grammar with a request's mark
// (constraints/closing.h) is closed before the tokens run out, and thinking ends when the request's switch is
// set (overrides/access/thinking.h).
common_sampler* common_sampler_init(const llama_model* model, common_params_sampling& params) {
    make_safe(params);
    common_sampler_ptr sampler(llama_cpp_sampler_init(model, params));
    const llama_vocab* vocab = llama_model_get_vocab(model);
    if (sampler->grmr != nullptr && must_wait(params)) {
        sampler->grmr = xlc::waiting_sampler(sampler->grmr, vocab, triggers_of(params, vocab));
        sampler->params.grammar_lazy = false; // ours sees all tokens, and knows the thinking
    }
    if (auto closing = xlc::closing_of(common_grammar_value(params.grammar));
        closing && sampler->grmr != nullptr) {
        sampler->grmr = xlc::closing_sampler(sampler->grmr, vocab, std::move(closing));
    }
    if (sampler->rbudget != nullptr) {
        sampler->rbudget = xlc::controlled(sampler->rbudget, xlc::control_of(params));
    }
    return sampler.release();
}

llama_sampler* xlc::grammar_of(const common_sampler* sampler) {
    return sampler->grmr;
}
