// llama_sampler_init_llg(), which llama.cpp's common/sampling.cpp calls for a grammar that begins with
// "%llguidance". This file replaces common/llguidance.cpp, which links a Rust library: this one calls the
// library of the installed wheel (constraints/llguidance_api.h). There, a refused grammar became a sampler
// without a constraint; here it is an error. And here each model has its own tokenizer.
#include "constraints/closing.h"
#include "constraints/closing_sampler.h"
#include "constraints/forced_tokens.h"
#include "constraints/grammar_steps.h"
#include "constraints/llg_tokenizer.h"
#include "constraints/waiting_sampler.h"
#include "llama-cpp.h"
#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

using xlc::LlgTokenizer;
using xlc::llg::MatcherPtr;

struct LlgSampler {
    std::shared_ptr<const LlgTokenizer> tokenizer; // outlives the matcher
    MatcherPtr matcher;
};

LlgSampler& state_of(llama_sampler* sampler) {
    return *static_cast<LlgSampler*>(sampler->ctx);
}

// The server's loop catches exceptions while it samples for one slot and ends that request with an error. The
// other requests continue. Any other reaction would let unconstrained text through.
[[noreturn]] void fail(const LlgSampler& state, const char* what) {
    throw std::runtime_error(
        std::string("llguidance ") + what + ": " + xlc::llg::matcher_error(state.matcher.get()));
}

const char* name(const llama_sampler* /*sampler*/) {
    return "llguidance";
}

// A complete grammar that allows no more text stops by itself, and then treats the end token as an error.
bool is_redundant_end(const LlgSampler& state, uint32_t token) {
    const xlc::llg::Api& api = xlc::llg::api();
    return state.tokenizer->ends_answer(token) && api.matcher_is_accepting(state.matcher.get()) &&
           api.matcher_is_stopped(state.matcher.get());
}

void accept(llama_sampler* sampler, llama_token token) {
    LlgSampler& state = state_of(sampler);
    const auto id = static_cast<uint32_t>(token);
    if (!is_redundant_end(state, id) && xlc::llg::api().matcher_consume_token(state.matcher.get(), id) != 0) {
        fail(state, "refuses a token that was chosen");
    }
}

const uint32_t* mask_of(LlgSampler& state) {
    const xlc::llg::Api& api = xlc::llg::api();
    const uint32_t* mask = api.matcher_get_mask(state.matcher.get());
    if (mask == nullptr) { // not computed since the last accepted token
        if (api.matcher_compute_mask(state.matcher.get()) != 0) {
            fail(state, "cannot tell which tokens may follow");
        }
        mask = api.matcher_get_mask(state.matcher.get());
    }
    return mask;
}

// llama.cpp first samples a token without the grammar and then asks whether it fits. It usually does, and
// checking one token is many times cheaper than computing the mask of all.
bool fits(LlgSampler& state, llama_token token) {
    const auto id = static_cast<uint32_t>(token);
    if (is_redundant_end(state, id)) {
        return true;
    }
    const int32_t n_valid = xlc::llg::api().matcher_validate_tokens(state.matcher.get(), &id, 1);
    if (n_valid < 0) {
        fail(state, "cannot check a token");
    }
    return n_valid == 1;
}

void apply(llama_sampler* sampler, llama_token_data_array* candidates) {
    LlgSampler& state = state_of(sampler);
    if (candidates->size == 1) {
        if (!fits(state, candidates->data[0].id)) {
            candidates->data[0].logit = -INFINITY;
        }
        return;
    }
    const uint32_t* mask = mask_of(state);
    for (size_t i = 0; i < candidates->size; ++i) {
        const auto id = static_cast<uint32_t>(candidates->data[i].id);
        if ((mask[id / 32] & (uint32_t{1} << (id % 32))) == 0) {
            candidates->data[i].logit = -INFINITY;
        }
    }
}

void reset(llama_sampler* sampler) {
    LlgSampler& state = state_of(sampler);
    if (xlc::llg::api().matcher_reset(state.matcher.get()) != 0) {
        fail(state, "cannot start the grammar again");
    }
}

llama_sampler* clone(const llama_sampler* sampler);

void free_state(llama_sampler* sampler) {
    delete static_cast<LlgSampler*>(sampler->ctx);
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
    const auto& state = *static_cast<const LlgSampler*>(sampler->ctx);
    MatcherPtr matcher(xlc::llg::api().clone_matcher(state.matcher.get()));
    return llama_sampler_init(&sampler_interface, new LlgSampler{state.tokenizer, std::move(matcher)});
}

} // namespace

llama_sampler*
llama_sampler_init_llg(const llama_vocab* vocab, const char* grammar_kind, const char* grammar_data) {
    auto state = std::make_unique<LlgSampler>();
    state->tokenizer = xlc::TokenizerRegistry::for_vocab(vocab);
    state->matcher = state->tokenizer->new_matcher(grammar_kind, xlc::without_closing_mark(grammar_data));
    const size_t n_words = (state->tokenizer->n_tokens() + 31) / 32;
    if (xlc::llg::api().matcher_get_mask_byte_size(state->matcher.get()) < n_words * sizeof(uint32_t)) {
        throw std::runtime_error("llguidance's masks are shorter than the vocabulary");
    }
    return llama_sampler_init(&sampler_interface, state.release());
}

size_t xlc::count_fitting(const llama_sampler* grammar, const std::vector<llama_token>& tokens) {
    const llama_sampler* const begun = grammar_begun(grammar_inside(grammar));
    if (begun != nullptr && begun->iface == &sampler_interface) {
        const auto& state = *static_cast<const LlgSampler*>(begun->ctx);
        const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
        const int32_t n_valid =
            xlc::llg::api().matcher_validate_tokens(state.matcher.get(), ids.data(), ids.size());
        if (n_valid < 0) {
            fail(state, "cannot check tokens");
        }
        return static_cast<size_t>(n_valid);
    }
    const llama_sampler_ptr state(llama_sampler_clone(grammar));
    size_t n = 0;
    for (; n < tokens.size() && fits(state.get(), tokens[n]); ++n) {
        if (n + 1 < tokens.size()) {
            llama_sampler_accept(state.get(), tokens[n]);
        }
    }
    return n;
}

bool xlc::can_force_tokens(const llama_sampler* grammar) {
    grammar = grammar_inside(grammar);
    return is_waiting_sampler(grammar) || (grammar != nullptr && grammar->iface == &sampler_interface);
}

std::vector<llama_token> xlc::forced_tokens(const llama_sampler* grammar, int32_t n_max) {
    grammar = grammar_begun(grammar_inside(grammar));
    if (grammar == nullptr || grammar->iface != &sampler_interface || n_max <= 0) {
        return {};
    }
    const auto& state = *static_cast<const LlgSampler*>(grammar->ctx);
    std::vector<uint32_t> tokens(static_cast<size_t>(n_max));
    const int32_t n =
        xlc::llg::api().matcher_compute_ff_tokens(state.matcher.get(), tokens.data(), tokens.size());
    return {tokens.begin(), tokens.begin() + std::clamp(n, 0, n_max)};
}
