// llama.cpp's common/sampling.cpp, with grammars that are closed before the tokens run out, thinking
// that can be ended, and an accessor for the grammar.

#include "constraints/closing_sampler.h"
#include "overrides/access/drafting.h"
#include "overrides/access/thinking.h"

#include "sampling.h"

common_sampler* llama_cpp_sampler_init(const llama_model* model, common_params_sampling& params);
#define common_sampler_init llama_cpp_sampler_init
#include "common/sampling.cpp"
#undef common_sampler_init

// Like llama.cpp's, but a grammar with a request's mark (constraints/closing.h) is closed before the tokens
// run out, and thinking ends when the request's switch is set (overrides/access/thinking.h).
common_sampler* common_sampler_init(const llama_model* model, common_params_sampling& params) {
    common_sampler* sampler = llama_cpp_sampler_init(model, params);
    if (auto closing = xlc::closing_of(common_grammar_value(params.grammar));
        closing && sampler->grmr != nullptr) {
        sampler->grmr = xlc::closing_sampler(sampler->grmr, llama_model_get_vocab(model), std::move(closing));
    }
    if (sampler->rbudget != nullptr) {
        sampler->rbudget = xlc::controlled(sampler->rbudget, xlc::control_of(params));
    }
    return sampler;
}

llama_sampler* xlc::grammar_of(const common_sampler* sampler) {
    return sampler->grmr;
}
