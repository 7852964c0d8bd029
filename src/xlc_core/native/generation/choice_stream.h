// Converts llama.cpp's results for one answer to our events.
#pragma once

#include "constraints/closing.h"
#include "generation/event.h"
#include "support/errors.h"

#include "server-task.h"

#include <optional>

namespace xlc {

class ChoiceStream {
public:
    // `closing`: how the answer's grammar is closed before its tokens run out, or nullptr.
    ChoiceStream(
        int32_t choice,
        bool needs_parsing,
        const task_params& params,
        std::shared_ptr<const Closing> closing);

    // Return the events of a partial or final result. Sets `ended` for a final one.
    std::vector<Event> translate(server_task_result& result, bool& ended);

private:
    std::vector<Event> on_partial(server_task_result_cmpl_partial& result);
    std::vector<Event> on_embedding(server_task_result_embd& result);
    std::vector<Event> on_final(server_task_result_cmpl_final& result);
    void add_text(std::vector<Event>& events, const std::string& text, bool is_partial);
    Event make_event(Event::Kind kind, std::string text);

    const int32_t choice_;
    const bool silent_; // no tokens were requested, but llama.cpp always generates one
    const bool parse_;  // the answer needs the chat parser; otherwise it is plain text
    const std::shared_ptr<const Closing> closing_;
    task_result_state state_;
    // The generated text, by kind. The parser's own text also holds the start of a continued message.
    std::string text_;
    std::string reasoning_;
    std::vector<TokenProbability> logprobs_;
    size_t n_sent_logprobs_ = 0;
};

// Return the error with which a failed task ends its request.
Error to_error(const server_task_result_error& result);

} // namespace xlc
