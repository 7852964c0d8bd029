// The cost of what templates do with values, paid from the budget (template_budget.h) before it is done: one
// call may make a text of terabytes out of small ones, and a value that contains another one twice, again and
// again, is larger than any memory once it is written.
#pragma once

#include "jinja/runtime.h"

#include <string>
#include <vector>

namespace xlc {

// Pays for a call of a filter, function, method or test of Jinja by its name.
void pay_for_call(const std::string& name, const std::vector<jinja::value>& arguments);

// Pays for an operation with two operands.
void pay_for_operation(const std::string& sign, const jinja::value& left, const jinja::value& right);

// Pays for turning a value into text, as part of what the template returns.
void pay_for_output(const jinja::value& output);

// Pays for the loop over the items of a value.
void pay_for_loop(const jinja::value& items);

// Pays for a value that an expression has made, or with `is_known` only returned.
void pay_for_result(const jinja::value& result, bool is_known);

// A function value whose calls are paid for.
struct PaidFunction : public jinja::value_func_t {
    using jinja::value_func_t::value_func_t;
    jinja::value invoke(const jinja::func_args& args) const override;
};
using paid_function = std::shared_ptr<PaidFunction>;

// llama.cpp's functions and tests; the tests are paid for. Functions are paid for as values.
class PaidBuiltins {
public:
    auto find(const std::string& name) const { return all().find(name); }
    auto end() const { return all().end(); }
    const jinja::func_handler& at(const std::string& name) const { return all().at(name); }

private:
    static const jinja::func_builtins& all();
};

} // namespace xlc
