// Tools for models whose chat template does not support them.
#pragma once

#include <string>

namespace xlc {

// Return the model's template with support for tools. Definitions go into the system message, or into the
// first message if the template does not have a system role. Calls and their results are written as text
// between tags. llama.cpp learns the format from the template, as for templates with tools, and constrains
// and parses the model's answer.
std::string with_generic_tools(const std::string& template_source, bool has_system_role);

} // namespace xlc
