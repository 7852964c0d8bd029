// Tools for models whose chat template does not support them.
#pragma once

#include "chat.h"

#include <string>

namespace xlc {

// Return templates with support for tools for a model whose own template does not support them, or nullptr.
// Definitions go into the system message, or into the
// first message if the template does not have a system role. Calls and their results are written as text
// between tags. llama.cpp learns the format from the template, as for templates with tools, and constrains
// and parses the model's answer.
common_chat_templates_ptr generic_tool_templates(const llama_model* model, const common_chat_templates* own);

} // namespace xlc
