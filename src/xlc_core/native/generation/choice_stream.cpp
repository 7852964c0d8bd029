#include "generation/choice_stream.h"

#include "support/logging.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace xlc {

namespace {

float log_probability(float probability) {
    return probability > 0 ? std::log(probability) : std::numeric_limits<float>::lowest();
}

// The token's own text follows its candidates (overrides/server/answer_text.h).
TokenProbability to_token_probability(const completion_token_output& output) {
    const std::string& text = output.probs.back().txt;
    TokenProbability token{output.tok, text, text, log_probability(output.prob), {}};
    for (size_t i = 0; i + 1 < output.probs.size(); i++) {
        const auto& candidate = output.probs[i];
        token.top.push_back(
            {candidate.tok, candidate.txt, candidate.txt, log_probability(candidate.prob), {}});
    }
    return token;
}

// A limit may fall between the bytes of a character; a stream never shows such a half either.
common_chat_input without_half_character(common_chat_input text) {
    text.truncate(validate_utf8(text.text));
    return text;
}

} // namespace

ChoiceStream::ChoiceStream(
    int32_t choice,
    const std::optional<AnswerFormat>& format,
    const task_params& params,
    std::shared_ptr<const Closing> closing,
    std::shared_ptr<const Thinking> thinking)
    : choice_(choice), silent_(params.n_predict == 0), closing_(std::move(closing)),
      thinking_(std::move(thinking)) {
    if (format) {
        parser_.emplace(*format);
    }
}

std::vector<Event> ChoiceStream::translate(server_task_result& result, bool& ended) {
    if (auto* partial = dynamic_cast<server_task_result_cmpl_partial*>(&result)) {
        ended = false;
        return on_partial(*partial);
    }
    ended = true;
    if (auto* embedding = dynamic_cast<server_task_result_embd*>(&result)) {
        return on_embedding(*embedding);
    }
    return on_final(dynamic_cast<server_task_result_cmpl_final&>(result));
}

std::vector<TokenProbability> ChoiceStream::take_logprobs() {
    std::vector<TokenProbability> taken;
    for (; n_sent_logprobs_ < logprobs_.size(); n_sent_logprobs_++) {
        TokenProbability& token = logprobs_[n_sent_logprobs_];
        const size_t n_left = n_text_bytes_ - n_logprob_bytes_;
        if (n_left == 0 && !token.bytes.empty()) {
            break; // held back, or after the end
        }
        token.bytes.resize(std::min(token.bytes.size(), n_left));
        n_logprob_bytes_ += token.bytes.size();
        taken.push_back(token);
    }
    return taken;
}

// Tokens after the end are a stop sequence, or the parts of a character that was not completed.
void ChoiceStream::finish_logprobs(bool ended_by_stop_sequence) {
    if (silent_) {
        logprobs_.clear();
        return;
    }
    take_logprobs();
    const auto after_end = logprobs_.begin() + static_cast<std::ptrdiff_t>(n_sent_logprobs_);
    if (ended_by_stop_sequence) {
        logprobs_.erase(after_end, logprobs_.end());
    } else {
        std::for_each(after_end, logprobs_.end(), [](TokenProbability& token) { token.bytes.clear(); });
    }
}

Event ChoiceStream::make_event(Event::Kind kind, std::string text) {
    Event event;
    event.kind = kind;
    event.choice = choice_;
    event.text = std::move(text);
    if (kind == Event::Kind::reasoning) {
        reasoning_ += event.text;
    }
    if (kind == Event::Kind::text) {
        text_ += event.text;
        event.logprobs = take_logprobs();
    }
    return event;
}

void ChoiceStream::add_text(std::vector<Event>& events, const common_chat_input& text, bool is_partial) {
    if (silent_) {
        return;
    }
    if (!parser_) {
        if (!text.empty()) {
            events.push_back(make_event(Event::Kind::text, text.text));
        }
        return;
    }
    std::vector<common_chat_msg_diff> diffs;
    try {
        diffs = parser_->add(text, !is_partial);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        // The answer does not (yet) match the template's format: it was cut by its limit, or the model
        // violated the format. The part that was parsed so far is kept.
        if (!is_partial) {
            log_warning(std::string("an answer ended outside its template's format: ") + error.what());
            if (parser_->message().empty()) {
                events.push_back(make_event(Event::Kind::text, parser_->text()));
            }
        }
        return;
    }
    for (common_chat_msg_diff& diff : diffs) {
        if (!diff.reasoning_content_delta.empty()) {
            events.push_back(make_event(Event::Kind::reasoning, std::move(diff.reasoning_content_delta)));
        }
        if (!diff.content_delta.empty()) {
            events.push_back(make_event(Event::Kind::text, std::move(diff.content_delta)));
        }
        if (diff.tool_call_index != std::string::npos) {
            Event event = make_event(Event::Kind::tool_call, std::move(diff.tool_call_delta.arguments));
            event.call_index = static_cast<int32_t>(diff.tool_call_index);
            event.call_id = std::move(diff.tool_call_delta.id);
            event.call_name = std::move(diff.tool_call_delta.name);
            events.push_back(std::move(event));
        }
    }
}

std::vector<Event> ChoiceStream::on_partial(server_task_result_cmpl_partial& result) {
    std::vector<Event> events;
    if (result.is_progress) {
        Event event = make_event(Event::Kind::prompt_progress, "");
        event.n_prompt_tokens = result.progress.total;
        event.n_cached = result.progress.cache;
        event.n_processed = result.progress.processed;
        event.seconds = static_cast<double>(result.progress.time_ms) / 1000;
        events.push_back(std::move(event));
    } else if (!result.is_begin) {
        if (!result.prob_output.probs.empty()) {
            logprobs_.push_back(to_token_probability(result.prob_output));
        }
        common_chat_input content = without_half_character(std::move(result.content));
        n_text_bytes_ += content.size();
        add_text(events, content, true);
    }
    return events;
}

std::vector<Event> ChoiceStream::on_embedding(server_task_result_embd& result) {
    auto choice = std::make_shared<ChoiceResult>();
    choice->embedding = std::move(result.embedding.at(0));
    choice->n_prompt_tokens = result.n_tokens;
    Event finished = make_event(Event::Kind::choice_finished, "");
    finished.result = std::move(choice);
    return {std::move(finished)};
}

std::vector<Event> ChoiceStream::on_final(server_task_result_cmpl_final& result) {
    for (const completion_token_output& output :
         result.stream ? std::vector<completion_token_output>() : result.probs_output) {
        logprobs_.push_back(to_token_probability(output));
    }
    std::vector<Event> events;
    const common_chat_input content = without_half_character(std::move(result.content));
    n_text_bytes_ += content.size();
    add_text(events, content, false);
    finish_logprobs(result.stop == STOP_TYPE_WORD);
    if (!result.stream) {
        events.clear(); // without a stream only the whole answer is returned
    }

    auto choice = std::make_shared<ChoiceResult>();
    choice->text = text_;
    choice->reasoning = reasoning_;
    if (parser_) {
        for (const common_chat_tool_call& call : parser_->message().tool_calls) {
            choice->tool_calls.push_back({call.id, call.name, call.arguments});
        }
    }
    const bool ran_out = result.stop == STOP_TYPE_LIMIT || (closing_ && closing_->forced);
    choice->finish_reason = ran_out ? "length" : !choice->tool_calls.empty() ? "tool_calls" : "stop";
    choice->stop_sequence = result.stop == STOP_TYPE_WORD ? result.stopping_word : "";
    choice->logprobs = logprobs_;
    choice->n_prompt_tokens = result.n_prompt_tokens;
    choice->n_cached_tokens = result.n_prompt_tokens_cache;
    choice->n_generated_tokens = silent_ ? 0 : result.n_decoded;
    choice->n_reasoning_tokens = silent_ ? 0 : thinking_->n_tokens.load();
    choice->n_processed_tokens = static_cast<int32_t>(result.stats.n_prompt_processed);
    choice->prompt_seconds = result.stats.t_prompt_ms() / 1000;
    choice->generation_seconds = result.stats.t_gen_ms() / 1000;
    choice->n_draft_tokens = static_cast<int32_t>(result.stats.n_draft_tokens);
    choice->n_draft_accepted = static_cast<int32_t>(result.stats.n_draft_accepted);
    choice->n_draft_steps = static_cast<int32_t>(result.stats.n_draft_verif_steps);

    Event finished = make_event(Event::Kind::choice_finished, "");
    finished.result = std::move(choice);
    events.push_back(std::move(finished));
    return events;
}

Error to_error(const server_task_result_error& result) {
    switch (result.err_type) {
    case ERROR_TYPE_EXCEED_CONTEXT_SIZE:
        return Error::context_overflow(result.err_msg, result.n_prompt_tokens, result.n_ctx);
    case ERROR_TYPE_INVALID_REQUEST:
        return Error(ErrorKind::invalid_request, result.err_msg);
    case ERROR_TYPE_NOT_SUPPORTED:
        return Error(ErrorKind::unsupported_feature, result.err_msg);
    default:
        return Error(ErrorKind::engine_failed, result.err_msg);
    }
}

} // namespace xlc
