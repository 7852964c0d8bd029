// From llama.cpp's results for one answer to our events.
#pragma once

#include "constraints/closing.h"
#include "generation/event.h"
#include "support/errors.h"

#include "server-task.h"

#include <optional>

namespace xlc {

class ChoiceStream {
public:
    // `closing` says how the answer's grammar is closed in time; nullptr when it is not.
    ChoiceStream(
        int32_t choice,
        bool needs_parsing,
        const task_params& params,
        std::shared_ptr<const Closing> closing);

    // The events of a partial or final result; `ended` says which it was.
    std::vector<Event> translate(server_task_result& result, bool& ended);

private:
    std::vector<Event> on_partial(server_task_result_cmpl_partial& result);
    std::vector<Event> on_embedding(server_task_result_embd& result);
    std::vector<Event> on_final(server_task_result_cmpl_final& result);
    void add_text(std::vector<Event>& events, const std::string& text, bool is_partial);
    Event make_event(Event::Kind kind, std::string text);

    const int32_t choice_;
    const bool silent_; // no tokens were asked for; llama.cpp generates one all the same
    const bool parse_;  // does the answer need the chat parser, or is it plain text?
    const std::shared_ptr<const Closing> closing_;
    task_result_state state_;
    // What was generated, by kind. Of a continued message the parser's own text holds the beginning too.
    std::string text_;
    std::string reasoning_;
    std::vector<TokenProbability> logprobs_;
    size_t n_sent_logprobs_ = 0;
};

// The error that a failed task ends its request with.
Error to_error(const server_task_result_error& result);

} // namespace xlc
