#include "generation/thinking.h"

#include "generation/request.h"

namespace xlc {

namespace {

// If the model should not think, the template itself closes the thinking.
bool prompt_has_closed(const common_chat_params& rendered) {
    for (const std::string& end : rendered.thinking_end_tags) {
        if (!end.empty() && rendered.generation_prompt.find(end) != std::string::npos) {
            return true;
        }
    }
    return false;
}

} // namespace

void set_thinking(
    common_params_sampling& out,
    const ChatRequest& chat,
    const common_chat_params& rendered,
    const llama_vocab* vocab) {
    if (chat.thinking_budget) {
        out.reasoning_budget_tokens = *chat.thinking_budget;
    }
    const std::string message = chat.thinking_budget_message.value_or(out.reasoning_budget_message);
    out.reasoning_budget_message.clear();
    if (rendered.thinking_end_tags.empty() || prompt_has_closed(rendered)) {
        out.reasoning_budget_tokens = -1;
        return;
    }
    const std::string& start = rendered.thinking_start_tag;
    const bool opened = start.empty() || rendered.generation_prompt.find(start) != std::string::npos;
    const auto tokens = [vocab](const std::string& text) {
        return common_tokenize(vocab, text, false, true);
    };
    out.reasoning_budget_start = start.empty() ? llama_tokens{LLAMA_TOKEN_NULL} : tokens(start);
    out.reasoning_budget_end.clear();
    for (const std::string& end : rendered.thinking_end_tags) {
        if (!end.empty()) {
            out.reasoning_budget_end.push_back(tokens(end));
        }
    }
    out.reasoning_budget_forced = tokens(message + rendered.thinking_end_tags.front());
    out.reasoning_control = true;
    mark_thinking(out, opened);
}

} // namespace xlc
