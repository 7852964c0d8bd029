// Runs what uses a model's templates on a deep stack and within a budget.
#pragma once

#include "overrides/common/jinja/template_budget.h"
#include "support/deep_stack.h"
#include "support/errors.h"

#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace xlc {

// Calls the function on another thread. Throws Error(invalid_request) when the budget is used up; `what` and
// `remedy` are for its message.
template<typename Function>
auto within_budget(
    size_t n_input_bytes,
    const Function& function,
    const char* what = "the model's chat template",
    const char* remedy = "open the engine with another chat_template") {
    std::optional<decltype(function())> result;
    on_deep_stack(
        [&] {
            const TemplateBudget budget(n_input_bytes);
            const auto check = [&] {
                if (!budget.exceeded().empty()) {
                    throw Error(
                        ErrorKind::invalid_request,
                        std::string(what) + " " + budget.exceeded() + "; " + remedy);
                }
            };
            try {
                result.emplace(function());
            } catch (const std::exception&) {
                check();
                throw;
            }
            check();
        },
        template_stack);
    return std::move(*result);
}

} // namespace xlc
