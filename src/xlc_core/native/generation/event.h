// The events of a generation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "generation/request.h"

namespace xlc {

struct TokenProbability {
    int32_t token = 0;
    std::string text;  // as the vocabulary has it
    std::string bytes; // those of the answer's text; cut where the answer ends within the token
    float logprob = 0;
    std::vector<TokenProbability> top;
};

// One complete answer, and how it ended.
struct ChoiceResult {
    std::string text;
    std::string reasoning;
    std::vector<ChatToolCall> tool_calls;
    std::string finish_reason; // stop, length, tool_calls
    std::string stop_sequence;
    std::vector<TokenProbability> logprobs;
    std::vector<float> embedding; // only if an embedding was requested instead of an answer
    int32_t n_prompt_tokens = 0;
    int32_t n_cached_tokens = 0;
    int32_t n_generated_tokens = 0;
    int32_t n_reasoning_tokens = 0; // of these, between the tags of the thinking
    int32_t n_processed_tokens = 0; // prompt tokens that were computed
    double prompt_seconds = 0;
    double generation_seconds = 0;
    int32_t n_draft_tokens = 0;
    int32_t n_draft_accepted = 0;
    int32_t n_draft_steps = 0; // steps that verified a draft
};

struct Event {
    enum class Kind { text, reasoning, tool_call, prompt_progress, choice_finished };

    Kind kind = Kind::text;
    int32_t choice = 0;
    std::string text; // for a text or reasoning delta; the arguments for a tool call delta
    int32_t call_index = 0;
    std::string call_id;
    std::string call_name;
    std::vector<TokenProbability> logprobs;
    int32_t n_prompt_tokens = 0;
    int32_t n_cached = 0;
    int32_t n_processed = 0;
    double seconds = 0;
    std::shared_ptr<const ChoiceResult> result; // for choice_finished
};

} // namespace xlc
