// Tools for models whose chat template knows none.
#pragma once

#include <string>

namespace xlc {

// The model's own template, told of tools: definitions go into the system message, or where the
// template has none into the first message, calls and their results
// are written as text between tags. llama.cpp reads the format off the template, as it does for templates
// that know tools, and constrains and parses what the model answers.
std::string with_generic_tools(const std::string& template_source, bool has_system_role);

} // namespace xlc
