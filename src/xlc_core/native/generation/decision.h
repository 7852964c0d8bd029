// Typed questions about a text that a decision model answers in one pass, without generating a token.
#pragma once

#include "support/polling.h"

#include <cstdint>
#include <string>

struct common_params;
struct llama_model;
struct server_context;

namespace xlc {

class ControlNames;
class PromptReader;

struct Decision {
    std::string
        answers; // a JSON object: by the names of the questions, as llama.cpp's /v1/systemone writes them
    int32_t n_tokens = 0;
};

// llama.cpp's name of the model's kind of decision; empty for a model that does not decide.
std::string decision_kind(const llama_model* model);

// `request`: a JSON object with "state" and "questions" as /v1/systemone takes them. `poll` is called while
// it waits and gives up by throwing. Throws Error(unsupported_feature) for another model,
// Error(invalid_request) for questions that it cannot answer, and Error(context_overflow) for a state that
// cannot fit by its length alone.
Decision decide(
    server_context& context,
    const common_params& params,
    const PromptReader& prompts,
    const ControlNames& control_names,
    const std::string& request,
    const Poll& poll);

} // namespace xlc
