#include "generation/tool_template.h"

#include "overrides/access/template_limits.h"
#include "support/logging.h"

namespace xlc {

namespace {

// Rewrites `messages`; the model's own template follows and does the rest. The format is that of the Hermes
// models, which many small models have seen in training.
constexpr const char* preamble = R"jinja(
{%- set xlc = namespace(messages=[], system='') -%}
{%- if tools -%}
    {%- set xlc.system = 'You may call functions. These are available:\n<tools>' -%}
    {%- for tool in tools -%}
        {%- set xlc.system = xlc.system + '\n' + (tool | tojson) -%}
    {%- endfor -%}
    {%- set xlc.system = xlc.system + '\n</tools>\nTo call one, answer with its name and arguments as JSON between tags:\n<tool_call>\n{"name": <function-name>, "arguments": <arguments-object>}\n</tool_call>' -%}
    {%- if messages[0]['role'] != 'system' and xlc_has_system_role -%}
        {%- set xlc.messages = [{'role': 'system', 'content': xlc.system}] -%}
    {%- endif -%}
{%- endif -%}
{%- for message in messages -%}
    {%- if loop.first and tools and not xlc_has_system_role -%}
        {%- set xlc.messages = [{'role': message['role'], 'content': xlc.system + '\n\n' + message['content']}] -%}
    {%- elif message['role'] == 'system' and loop.first and tools -%}
        {%- set xlc.messages = xlc.messages + [{'role': 'system', 'content': message['content'] + '\n\n' + xlc.system}] -%}
    {%- elif message['role'] == 'assistant' and message.tool_calls -%}
        {%- set turn = namespace(text=message['content'] or '') -%}
        {%- for call in message.tool_calls -%}
            {%- set function = call.function if call.function else call -%}
            {%- set turn.text = turn.text + ('\n' if turn.text else '') + '<tool_call>\n{"name": "' + function.name + '", "arguments": ' + (function.arguments if function.arguments is string else (function.arguments | tojson)) + '}\n</tool_call>' -%}
        {%- endfor -%}
        {%- set xlc.messages = xlc.messages + [{'role': 'assistant', 'content': turn.text}] -%}
    {%- elif message['role'] == 'tool' -%}
        {%- set xlc.messages = xlc.messages + [{'role': 'user', 'content': '<tool_response>\n' + message['content'] + '\n</tool_response>'}] -%}
    {%- else -%}
        {%- set xlc.messages = xlc.messages + [message] -%}
    {%- endif -%}
{%- endfor -%}
{%- set messages = xlc.messages -%}
)jinja";

std::string with_generic_tools(const std::string& template_source, bool has_system_role) {
    std::string text = preamble;
    text = text.substr(1, text.size() - 2); // without the line breaks of the literal
    return std::string("{%- set xlc_has_system_role = ") + (has_system_role ? "true" : "false") + " -%}" +
           text + template_source;
}

} // namespace

common_chat_templates_ptr generic_tool_templates(const llama_model* model, const common_chat_templates* own) {
    std::map<std::string, bool> caps = common_chat_templates_get_caps(own);
    if (caps["supports_tools"] || !template_fault(own).empty()) {
        return nullptr;
    }
    common_chat_templates_ptr made = common_chat_templates_init(
        model, with_generic_tools(common_chat_templates_source(own), caps["supports_system_role"]));
    const std::string fault = template_fault(made.get());
    if (fault.empty()) {
        return made;
    }
    log_warning(
        "tools will not be shown to this model, because its chat template does not allow them: " + fault);
    return nullptr;
}

} // namespace xlc
