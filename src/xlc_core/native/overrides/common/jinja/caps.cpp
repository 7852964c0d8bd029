// llama.cpp's common/jinja/caps.cpp, which tries out a template when it is loaded: what that returns is paid
// for (value_costs.h).

#include "overrides/common/jinja/value_costs.h"

#include "jinja/runtime.h"

#define gather_string_parts(results) gather_string_parts((xlc::pay_for_output(results), results))
#include "common/jinja/caps.cpp"
