// Limits of chat templates, which overrides/common/chat.cpp adds to llama.cpp's functions for them.
#pragma once

#include <string>

struct common_chat_templates;

namespace xlc {

// Return why the model's chat template cannot be used; empty if it can. llama.cpp would refuse the model.
std::string template_fault(const common_chat_templates* templates);

} // namespace xlc
