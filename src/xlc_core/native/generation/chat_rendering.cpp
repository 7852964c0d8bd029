#include "generation/chat_rendering.h"

#include "overrides/access/tool_parameters.h"
#include "support/errors.h"
#include "support/text_mark.h"

#include <algorithm>

namespace xlc {

namespace {

common_chat_msg to_common(const ChatMessage& message) {
    common_chat_msg out;
    out.role = message.role;
    out.content = message.content;
    out.reasoning_content = message.reasoning;
    out.tool_call_id = message.tool_call_id;
    out.tool_name = message.name;
    for (const ChatToolCall& call : message.tool_calls) {
        out.tool_calls.push_back({call.name, call.arguments, call.id});
    }
    return out;
}

common_chat_tool_choice to_common(const std::string& tool_choice) {
    return tool_choice == "none"       ? COMMON_CHAT_TOOL_CHOICE_NONE
           : tool_choice == "required" ? COMMON_CHAT_TOOL_CHOICE_REQUIRED
                                       : COMMON_CHAT_TOOL_CHOICE_AUTO;
}

bool needs_tools(const ChatRequest& chat) {
    return !chat.tools.empty() ||
           std::any_of(chat.messages.begin(), chat.messages.end(), [](const ChatMessage& message) {
               return message.role == "tool" || !message.tool_calls.empty();
           });
}

const common_chat_templates* templates_for(const ChatRequest& chat, const ChatDefaults& defaults) {
    return needs_tools(chat) ? defaults.tool_templates : defaults.templates;
}

bool can_be_continued(const std::vector<common_chat_msg>& messages) {
    const common_chat_msg& last = messages.back();
    return last.tool_calls.empty() && !(last.role == "assistant" && messages.size() >= 2 &&
                                        messages[messages.size() - 2].role == "assistant");
}

// If a chat ends with an assistant's message, the answer continues it.
void continue_last_message(common_chat_templates_inputs& inputs) {
    const common_chat_msg& last = inputs.messages.back();
    if (!last.tool_calls.empty()) {
        throw Error(
            ErrorKind::invalid_request,
            "the last message is an assistant's with tool calls; add the tool messages that answer them");
    }
    if (inputs.messages.size() >= 2 && inputs.messages[inputs.messages.size() - 2].role == "assistant") {
        throw Error(
            ErrorKind::invalid_request, "the chat ends with two assistant messages; join them, because the "
                                        "answer continues the last one");
    }
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    inputs.add_generation_prompt = false;
}

// llama.cpp renders templates that are named with code of its own, which ignores all but roles and contents.
common_chat_params render_by_name(
    const ChatRequest& chat, const common_chat_templates* templates, common_chat_templates_inputs inputs) {
    if (!chat.tools.empty() || !chat.template_kwargs.empty()) {
        throw Error(
            ErrorKind::unsupported_feature, "llama.cpp's own chat template '" +
                                                common_chat_templates_source(templates) +
                                                "' does not take tools and template_kwargs; open the engine "
                                                "with Jinja text as chat_template");
    }
    for (const common_chat_msg& message : inputs.messages) {
        if (message.role == "tool" || !message.tool_calls.empty()) {
            throw Error::template_refusal("it does not take calls of tools and their results");
        }
    }
    std::string begun;
    if (inputs.messages.size() >= 2 && inputs.messages.back().role == "assistant") {
        begun = inputs.messages.back().content;
        inputs.messages.pop_back();
    }
    inputs.chat_template_kwargs.clear();
    common_chat_params rendered = common_chat_templates_apply(templates, inputs);
    rendered.prompt += begun;
    return rendered;
}

} // namespace

bool may_call(const ChatRequest& chat) {
    return !chat.tools.empty() && chat.tool_choice != "none";
}

bool wants_thinking(const ChatRequest& chat, const ChatDefaults& defaults) {
    const auto named = chat.template_kwargs.find("enable_thinking");
    const bool fallback =
        named == chat.template_kwargs.end() ? defaults.enable_thinking : named->second == "true";
    return chat.thinking.value_or(fallback);
}

// Parallel calls only with the model's own tool template: models without tool training loop when several
// calls are allowed.
bool allows_parallel_calls(const ChatRequest& chat, const ChatDefaults& defaults) {
    const common_chat_templates* templates = templates_for(chat, defaults);
    return chat.parallel_tool_calls.value_or(
        templates == defaults.templates &&
        common_chat_templates_get_caps(templates)["supports_parallel_tool_calls"]);
}

common_chat_params render_chat(const ChatRequest& chat, const ChatDefaults& defaults) {
    if (chat.messages.empty()) {
        throw Error(ErrorKind::invalid_request, "a chat needs at least one message");
    }
    common_chat_templates_inputs inputs;
    ToolParameters simple_parameters;
    for (const ChatMessage& message : chat.messages) {
        inputs.messages.push_back(to_common(message));
    }
    for (const ChatTool& tool : chat.tools) {
        inputs.tools.push_back({tool.name, tool.description, tool.parameters});
        simple_parameters[tool.name] = tool.simple_parameters;
    }
    inputs.tool_choice = to_common(chat.tool_choice);
    inputs.use_jinja = defaults.use_jinja;
    inputs.reasoning_format = chat.reasoning_format
                                  ? common_reasoning_format_from_name(*chat.reasoning_format)
                                  : defaults.reasoning_format;
    inputs.enable_thinking = wants_thinking(chat, defaults);
    inputs.chat_template_kwargs = defaults.template_kwargs;
    for (const auto& [name, value] : chat.template_kwargs) {
        inputs.chat_template_kwargs[name] = value;
    }
    if (chat.thinking) {
        inputs.chat_template_kwargs["enable_thinking"] = *chat.thinking ? "true" : "false";
    }
    if (!defaults.use_jinja) {
        return render_by_name(chat, defaults.templates, std::move(inputs));
    }
    inputs.parallel_tool_calls = allows_parallel_calls(chat, defaults);
    if (chat.is_part && !can_be_continued(inputs.messages)) {
        inputs.add_generation_prompt = false;
    } else if (defaults.prefill_assistant && inputs.messages.back().role == "assistant") {
        continue_last_message(inputs);
    }
    try {
        const ToolParametersScope scope(&simple_parameters);
        return common_chat_templates_apply(templates_for(chat, defaults), inputs);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw Error::template_refusal(error.what());
    }
}

common_chat_params render_marked(const MarkedChat& chat, const ChatDefaults& defaults) {
    try {
        common_chat_params rendered = render_chat(chat.answer, defaults);
        rendered.prompt = render_chat(chat.prompt, defaults).prompt;
        return rendered;
    } catch (const Error& error) {
        if (error.template_reason) {
            throw Error::template_refusal(without_mark(*error.template_reason, chat.mark));
        }
        throw;
    }
}

std::string thinking_start(const common_chat_params& rendered) {
    const std::string& tag = rendered.thinking_start_tag;
    const bool opened = !tag.empty() && rendered.generation_prompt.find(tag) != std::string::npos;
    return opened ? "" : tag;
}

bool opens_thinking(const common_chat_params& rendered) {
    const std::string& prompt = rendered.generation_prompt;
    const std::string& tag = rendered.thinking_start_tag;
    const size_t opened = tag.empty() ? std::string::npos : prompt.rfind(tag);
    if (opened == std::string::npos) {
        return false;
    }
    const auto& ends = rendered.thinking_end_tags;
    return std::none_of(ends.begin(), ends.end(), [&](const std::string& end) {
        return prompt.find(end, opened) != std::string::npos;
    });
}

} // namespace xlc
