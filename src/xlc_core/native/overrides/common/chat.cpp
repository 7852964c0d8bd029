// llama.cpp's common/chat.cpp, whose templates run on a deep stack and within a budget
// (overrides/common/jinja/template_budget.h). A model whose template cannot be used opens all the same
// (overrides/access/template_limits.h). Parsers of tool calls are made of schemas that a request sets
// (overrides/access/tool_parameters.h).

#include "overrides/access/template_limits.h"
#include "overrides/access/tool_parameters.h"
#include "overrides/common/jinja/value_costs.h"
#include "overrides/common/jinja/within_budget.h"
#include "support/deep_stack.h"
#include "support/errors.h"
#include "support/logging.h"
#include "support/process.h"

#include "chat.h"

#include <map>
#include <mutex>
#include <type_traits>

common_chat_templates_ptr llama_cpp_templates_init(
    const llama_model* model,
    const std::string& source,
    const std::string& bos_token = "",
    const std::string& eos_token = "");
common_chat_params
llama_cpp_templates_apply(const common_chat_templates* templates, const common_chat_templates_inputs& inputs);
bool llama_cpp_supports_thinking(const common_chat_templates* templates);
bool llama_cpp_verify_template(const std::string& source, bool use_jinja);
void llama_cpp_templates_free(common_chat_templates* templates);
common_json llama_cpp_tool_parameters(const common_json& function);

#define common_chat_templates_init llama_cpp_templates_init
#define common_chat_templates_apply llama_cpp_templates_apply
#define common_chat_templates_support_enable_thinking llama_cpp_supports_thinking
#define common_chat_verify_template llama_cpp_verify_template
#define common_chat_templates_free llama_cpp_templates_free
#define common_chat_tool_parameters llama_cpp_tool_parameters
#define gather_string_parts(results) gather_string_parts((xlc::pay_for_output(results), results))
#include "common/chat.cpp"
#undef common_chat_templates_init
#undef common_chat_templates_apply
#undef common_chat_templates_support_enable_thinking
#undef common_chat_verify_template
#undef common_chat_templates_free
#undef common_chat_tool_parameters
#undef gather_string_parts

namespace {

// The reasons of templates that cannot be used.
struct Faults {
    std::mutex mutex;
    std::map<const common_chat_templates*, std::string> reasons;
};

Faults& faults() {
    return xlc::one_per_process<Faults>();
}

size_t size_of(const common_chat_templates_inputs& inputs) {
    constexpr size_t per_message = 64; // keys and quotes
    size_t n_bytes = 0;
    for (const common_chat_msg& message : inputs.messages) {
        n_bytes += per_message + message.content.size() + message.reasoning_content.size();
        for (const common_chat_tool_call& call : message.tool_calls) {
            n_bytes += per_message + call.name.size() + call.arguments.size();
        }
    }
    for (const common_chat_tool& tool : inputs.tools) {
        n_bytes += per_message + tool.name.size() + tool.description.size() + tool.parameters.size();
    }
    for (const auto& [name, value] : inputs.chat_template_kwargs) {
        n_bytes += per_message + name.size() + value.size();
    }
    return n_bytes;
}

// Templates for a model that generates without them. Applying them is refused before it begins.
common_chat_templates_ptr unusable_templates(const std::string& reason) {
    common_chat_templates_ptr made = llama_cpp_templates_init(nullptr, "chatml");
    std::lock_guard<std::mutex> lock(faults().mutex);
    faults().reasons[made.get()] = reason;
    return made;
}

} // namespace

std::string xlc::template_fault(const common_chat_templates* templates) {
    std::lock_guard<std::mutex> lock(faults().mutex);
    const auto found = faults().reasons.find(templates);
    return found == faults().reasons.end() ? "" : found->second;
}

namespace {

thread_local const xlc::ToolParameters* tool_parameters = nullptr;

} // namespace

xlc::ToolParametersScope::ToolParametersScope(const ToolParameters* parameters)
    : before_(std::exchange(tool_parameters, parameters)) {}

xlc::ToolParametersScope::~ToolParametersScope() {
    tool_parameters = before_;
}

const xlc::ToolParameters* xlc::ToolParametersScope::current() {
    return tool_parameters;
}

common_json common_chat_tool_parameters(const common_json& function) {
    if (tool_parameters != nullptr) {
        const auto found = tool_parameters->find(function.at("name").get<std::string>());
        if (found != tool_parameters->end()) {
            return common_json::parse(found->second);
        }
    }
    return llama_cpp_tool_parameters(function);
}

common_chat_templates_ptr common_chat_templates_init(
    const llama_model* model,
    const std::string& source,
    const std::string& bos_token,
    const std::string& eos_token) {
    std::string reason;
    try {
        common_chat_templates_ptr made = xlc::within_budget(
            0, [&] { return llama_cpp_templates_init(model, source, bos_token, eos_token); });
        return made;
    } catch (const xlc::Error& error) {
        if (error.kind == xlc::ErrorKind::insufficient_memory) {
            throw;
        }
        reason = error.what();
    } catch (const std::exception& error) {
        reason = error.what();
    }
    return unusable_templates(reason);
}

common_chat_params common_chat_templates_apply(
    const common_chat_templates* templates, const common_chat_templates_inputs& inputs) {
    if (const std::string reason = xlc::template_fault(templates); !reason.empty()) {
        throw xlc::Error(
            xlc::ErrorKind::invalid_request, "the model's chat template cannot be used: " + reason +
                                                 "; open the engine with another chat_template");
    }
    const xlc::ToolParameters* const parameters = xlc::ToolParametersScope::current();
    return xlc::within_budget(size_of(inputs), [&] { // on another thread
        const xlc::ToolParametersScope scope(parameters);
        return llama_cpp_templates_apply(templates, inputs);
    });
}

// Templates that refuse the chat of this question do not think.
bool common_chat_templates_support_enable_thinking(const common_chat_templates* templates) {
    try {
        return xlc::within_budget(0, [&] { return llama_cpp_supports_thinking(templates); });
    } catch (const std::exception&) {
        return false;
    }
}

bool common_chat_verify_template(const std::string& source, bool use_jinja) {
    return xlc::within_budget(source.size(), [&] { return llama_cpp_verify_template(source, use_jinja); });
}

// Freeing a template recurses as deep as its expressions.
void common_chat_templates_free(common_chat_templates* templates) {
    {
        std::lock_guard<std::mutex> lock(faults().mutex);
        faults().reasons.erase(templates);
    }
    try {
        xlc::on_deep_stack([&] { llama_cpp_templates_free(templates); }, xlc::template_stack);
    } catch (const std::exception& error) {
        xlc::log_warning(std::string("a chat template was not freed: ") + error.what());
    }
}
