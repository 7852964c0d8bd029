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
};

controlled_budget* budget_of(const llama_sampler* sampler) {
    return static_cast<controlled_budget*>(static_cast<common_reasoning_budget_ctx*>(sampler->ctx));
}

void controlled_apply(llama_sampler* sampler, llama_token_data_array* candidates) {
    controlled_budget& budget = *budget_of(sampler);
    if (budget.control.off && *budget.control.off && budget.state == REASONING_BUDGET_COUNTING) {
        // The budget ends with the next token, which may complete a character.
        budget.remaining = std::min(budget.remaining, 1);
    }
    common_reasoning_budget_apply(sampler, candidates);
}

void controlled_free(llama_sampler* sampler) {
    delete budget_of(sampler);
}

llama_sampler* controlled_clone(const llama_sampler* sampler);

llama_sampler_i controlled_interface() {
    llama_sampler_i interface = common_reasoning_budget_i;
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

void xlc::mark_switch(common_params_sampling& params, const std::shared_ptr<ThinkingSwitch>& off) {
    if (params.reasoning_budget_message.rfind(mark, 0) == 0) {
        params.reasoning_budget_message +=
            std::to_string(RequestRegistry<ThinkingSwitch>::instance().add(off));
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
    control.off = RequestRegistry<ThinkingSwitch>::instance().find(std::atoi(word.c_str()));
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
