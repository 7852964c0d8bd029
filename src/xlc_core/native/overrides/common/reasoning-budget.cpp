// llama.cpp's common/reasoning-budget.cpp, with a budget that can be ended from another thread.

#include "overrides/access/thinking.h"
#include "support/request_registry.h"

#include "common.h"

#include "common/reasoning-budget.cpp"

#include <cstdlib>
#include <memory>
#include <sstream>

namespace {

constexpr const char* mark = "xllama-thinking ";
constexpr const char* opened_mark = "opened ";

// llama.cpp's functions use the base class only.
struct controlled_budget : common_reasoning_budget_ctx {
    xlc::ThinkingControl control;
    int32_t n_tokens = 0; // of the thinking, without its tags
};

controlled_budget* budget_of(const llama_sampler* sampler) {
    return static_cast<controlled_budget*>(static_cast<common_reasoning_budget_ctx*>(sampler->ctx));
}

void controlled_apply(llama_sampler* sampler, llama_token_data_array* candidates) {
    controlled_budget& budget = *budget_of(sampler);
    const xlc::Thinking* thinking = budget.control.thinking.get();
    if (thinking != nullptr && thinking->off && *thinking->off && budget.state == REASONING_BUDGET_COUNTING) {
        // The budget ends with the next token, which may complete a character.
        budget.remaining = std::min(budget.remaining, 1);
    }
    common_reasoning_budget_apply(sampler, candidates);
}

bool is_thinking(const controlled_budget& budget) {
    return budget.state != REASONING_BUDGET_IDLE && budget.state != REASONING_BUDGET_DONE;
}

void controlled_accept(llama_sampler* sampler, llama_token token) {
    controlled_budget& budget = *budget_of(sampler);
    const bool counts = is_thinking(budget);
    common_reasoning_budget_accept(sampler, token);
    if (!counts) {
        return;
    }
    ++budget.n_tokens;
    if (!is_thinking(budget) && budget.end_match >= 0) {
        const auto n_tag = budget.end_matcher.seqs[static_cast<size_t>(budget.end_match)].size();
        budget.n_tokens -= static_cast<int32_t>(n_tag);
    }
    if (budget.control.thinking) {
        budget.control.thinking->n_tokens = budget.n_tokens;
    }
}

void controlled_free(llama_sampler* sampler) {
    delete budget_of(sampler);
}

llama_sampler* controlled_clone(const llama_sampler* sampler);

llama_sampler_i controlled_interface() {
    llama_sampler_i interface = common_reasoning_budget_i;
    interface.accept = controlled_accept;
    interface.apply = controlled_apply;
    interface.clone = controlled_clone;
    interface.free = controlled_free;
    return interface;
}

llama_sampler* make_controlled(controlled_budget* budget) {
    static llama_sampler_i interface = controlled_interface();
    return llama_sampler_init(&interface, static_cast<common_reasoning_budget_ctx*>(budget));
}

llama_sampler* controlled_clone(const llama_sampler* sampler) {
    return make_controlled(new controlled_budget(*budget_of(sampler)));
}

} // namespace

void xlc::mark_thinking(common_params_sampling& params, bool opened) {
    params.reasoning_budget_message = mark + std::string(opened ? opened_mark : "");
}

void xlc::mark_switch(common_params_sampling& params, const std::shared_ptr<Thinking>& thinking) {
    if (params.reasoning_budget_message.rfind(mark, 0) == 0) {
        params.reasoning_budget_message +=
            std::to_string(RequestRegistry<Thinking>::instance().add(thinking));
    }
}

xlc::ThinkingControl xlc::control_of(const common_params_sampling& params) {
    std::istringstream words(params.reasoning_budget_message);
    std::string word;
    words >> word;
    if (word + " " != mark) {
        return {};
    }
    ThinkingControl control;
    words >> word;
    if (word + " " == opened_mark) {
        control.opened = true;
        words >> word;
    }
    control.thinking = RequestRegistry<Thinking>::instance().find(std::atoi(word.c_str()));
    return control;
}

llama_sampler* xlc::controlled(llama_sampler* budget, ThinkingControl control) {
    auto own = std::make_unique<controlled_budget>(
        controlled_budget{*static_cast<const common_reasoning_budget_ctx*>(budget->ctx), std::move(control)});
    if (own->control.opened) {
        // Start at the end of the prompt. llama.cpp charges prompt tokens after the tag to the budget,
        // confuses them with the forced ending when the budget is 0, and does not recognise a tag that was
        // tokenised differently.
        own->state = own->budget > 0 ? REASONING_BUDGET_COUNTING : REASONING_BUDGET_FORCING;
        own->remaining = own->budget;
        own->force_pos = 0;
        own->end_match = -1;
        own->end_matcher.reset();
    }
    llama_sampler_free(budget);
    return make_controlled(own.release());
}
