#include "generation/chat_rendering.h"

#include "support/errors.h"

#include <algorithm>
#include <regex>

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

// For templates that mark each call, llama.cpp's grammar allows several calls even without
// parallel_tool_calls.
void allow_one_call(std::string& grammar) {
    const std::string many = "\ntool-calls ::= (tool-call space)+\n";
    const size_t found = grammar.find(many);
    if (found != std::string::npos) {
        grammar.replace(found, many.size(), "\ntool-calls ::= tool-call space\n");
    }
}

// Change the grammar so that no text may come before the call.
void begin_with_call(std::string& grammar) {
    static const std::regex text_before_call(
        R"re(( until-[0-9]+\??( space)?| \(start any\)\*)(?=( start)? tool-call))re");
    const size_t begin = grammar.find("\nroot ::= ");
    if (begin != std::string::npos) {
        const size_t end = std::min(grammar.find('\n', begin + 1), grammar.size());
        const std::string root = grammar.substr(begin, end - begin);
        grammar.replace(begin, end - begin, std::regex_replace(root, text_before_call, ""));
    }
}

// llama.cpp's grammar for a required call allows text before it, and then a weak model never calls. So the
// answer is prefilled with the call's opening tag. If calls have no tag, or the model should think first, the
// text is removed from the grammar instead.
void begin_tool_call(
    common_chat_params& rendered,
    const common_chat_templates* templates,
    common_chat_templates_inputs inputs) {
    if (rendered.supports_thinking && inputs.enable_thinking) {
        begin_with_call(rendered.grammar);
        return;
    }
    // With AUTO llama.cpp reports the opening tag as a grammar trigger.
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    const std::vector<common_grammar_trigger> triggers =
        common_chat_templates_apply(templates, inputs).grammar_triggers;
    if (triggers.size() == 1 && triggers[0].type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
        rendered.prompt += triggers[0].value;
        rendered.generation_prompt += triggers[0].value;
    } else {
        begin_with_call(rendered.grammar);
    }
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

common_chat_params render_chat(const ChatRequest& chat, const ChatDefaults& defaults) {
    if (chat.messages.empty()) {
        throw Error(ErrorKind::invalid_request, "a chat needs at least one message");
    }
    common_chat_templates_inputs inputs;
    for (const ChatMessage& message : chat.messages) {
        inputs.messages.push_back(to_common(message));
    }
    for (const ChatTool& tool : chat.tools) {
        inputs.tools.push_back({tool.name, tool.description, tool.parameters});
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
    const common_chat_templates* templates = needs_tools(chat) ? defaults.tool_templates : defaults.templates;
    // Parallel calls only with the model's own tool template: models without tool training loop when several
    // calls are allowed.
    inputs.parallel_tool_calls = chat.parallel_tool_calls.value_or(
        templates == defaults.templates &&
        common_chat_templates_get_caps(templates)["supports_parallel_tool_calls"]);
    if (defaults.prefill_assistant && inputs.messages.back().role == "assistant") {
        continue_last_message(inputs);
    }
    try {
        common_chat_params rendered = common_chat_templates_apply(templates, inputs);
        if (!inputs.parallel_tool_calls) {
            allow_one_call(rendered.grammar);
        }
        if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
            begin_tool_call(rendered, templates, inputs);
        }
        return rendered;
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw Error::template_refusal(error.what());
    }
}

std::string thinking_start(const common_chat_params& rendered) {
    const std::string& tag = rendered.thinking_start_tag;
    const bool opened = !tag.empty() && rendered.generation_prompt.find(tag) != std::string::npos;
    return opened ? "" : tag;
}

} // namespace xlc
