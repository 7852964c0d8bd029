// Converts llama.cpp's results for one answer to our events.
#pragma once

#include "constraints/closing.h"
#include "generation/answer_parser.h"
#include "generation/event.h"
#include "generation/thinking.h"
#include "support/errors.h"

#include "server-task.h"

#include <optional>

namespace xlc {

class ChoiceStream {
public:
    // `format`: how the answer is parsed; nullopt for plain text. `closing`: how the answer's grammar is
    // closed before its tokens run out, or nullptr. `thinking`: the count of the answer's sampler.
    ChoiceStream(
        int32_t choice,
        const std::optional<AnswerFormat>& format,
        const task_params& params,
        std::shared_ptr<const Closing> closing,
        std::shared_ptr<const Thinking> thinking);

    // Return the events of a partial or final result. Sets `ended` for a final one.
    std::vector<Event> translate(server_task_result& result, bool& ended);

private:
    std::vector<Event> on_partial(server_task_result_cmpl_partial& result);
    std::vector<Event> on_embedding(server_task_result_embd& result);
    std::vector<Event> on_final(server_task_result_cmpl_final& result);
    void add_text(std::vector<Event>& events, const common_chat_input& text, bool is_partial);
    // Return the probabilities, of those that were not sent, whose tokens are within the text.
    std::vector<TokenProbability> take_logprobs();
    void finish_logprobs(bool ended_by_stop_sequence);
    Event make_event(Event::Kind kind, std::string text);

    const int32_t choice_;
    const bool silent_; // no tokens were asked for; llama.cpp generates one all the same
    const std::shared_ptr<const Closing> closing_;
    const std::shared_ptr<const Thinking> thinking_;
    std::optional<AnswerParser> parser_; // nullopt: the answer is plain text
    // The generated text, by kind. The parser's own text also has the beginning of a continued message.
    std::string text_;
    std::string reasoning_;
    std::vector<TokenProbability> logprobs_;
    size_t n_sent_logprobs_ = 0;
    size_t n_text_bytes_ = 0;    // of the answer so far, also those of its thinking and calls
    size_t n_logprob_bytes_ = 0; // of the tokens whose probabilities were sent
};

// Return the error with which a failed task ends its request.
Error to_error(const server_task_result_error& result);

} // namespace xlc
