// llama.cpp's common/jinja/runtime.cpp, in which functions, tests and the joining of texts are paid for
// (value_costs.h).

#include "overrides/common/jinja/template_budget.h"
#include "overrides/common/jinja/value_costs.h"

#include "jinja/runtime.h"

#define value_func xlc::paid_function
// llama.cpp copies the table for every name that it looks up. This is cheap to copy.
#define global_builtins() xlc::PaidBuiltins()
#define gather_string_parts_recursive(value, parts)                                                          \
    xlc::pay_for_output((value));                                                                            \
    gather_string_parts_recursive((value), (parts))
#include "common/jinja/runtime.cpp"
