// The schemas that llama.cpp makes parsers of for tool calls. Templates show the tools' own schemas.
#pragma once

#include <map>
#include <string>

namespace xlc {

using ToolParameters = std::map<std::string, std::string>; // by a tool's name: JSON

// While it lives, common_chat_templates_apply() on this thread makes its parsers of these schemas.
class ToolParametersScope {
public:
    explicit ToolParametersScope(const ToolParameters* parameters);
    ~ToolParametersScope();
    ToolParametersScope(const ToolParametersScope&) = delete;
    ToolParametersScope& operator=(const ToolParametersScope&) = delete;

    // Return those of this thread, or nullptr.
    static const ToolParameters* current();

private:
    const ToolParameters* const before_;
};

} // namespace xlc
