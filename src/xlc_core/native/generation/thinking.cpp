#include "generation/thinking.h"

#include "generation/request.h"
#include "support/request_registry.h"

#include <cstdlib>
#include <sstream>

namespace xlc {

namespace {

constexpr const char* mark = "xllama-thinking ";
constexpr const char* opened_mark = "opened ";

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
    // The message has been tokenised already, so its field is free.
    out.reasoning_budget_message = mark + std::string(opened ? opened_mark : "");
}

void mark_switch(common_params_sampling& params, const std::shared_ptr<ThinkingSwitch>& off) {
    if (params.reasoning_budget_message.rfind(mark, 0) == 0) {
        params.reasoning_budget_message +=
            std::to_string(RequestRegistry<ThinkingSwitch>::instance().add(off));
    }
}

ThinkingControl control_of(const common_params_sampling& params) {
    std::istringstream words(params.reasoning_budget_message);
    std::string word;
    words >> word;
    if (word + " " != mark) {
        return {};
    }
    ThinkingControl control;
    words >> word;
    if (word + " " == opened_mark) {
        control.opened = true;
        words >> word;
    }
    control.off = RequestRegistry<ThinkingSwitch>::instance().find(std::atoi(word.c_str()));
    return control;
}

} // namespace xlc
