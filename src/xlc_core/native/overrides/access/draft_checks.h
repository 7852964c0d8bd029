// Checks that a draft model or head belongs to the model. Otherwise llama.cpp would abort, or fail at the
// first request. The checks throw Error(model_load) with the reason.
#pragma once

#include <string>

struct common_params_speculative;
struct llama_model;

namespace xlc {

// Whether a file holds a head, which runs with a model's words and output only: EAGLE-3, DFlash, DSpark, or
// the assistant of a Gemma 4.
bool is_head(const std::string& path);

// Call before the draft model is loaded. Reads the header of its file.
void check_draft_file(const common_params_speculative& wanted, const llama_model& model);

// Call before its first step. `draft` may be nullptr.
void check_draft_model(
    const common_params_speculative& wanted, const llama_model* draft, const llama_model& model);

// Call with both contexts. Checks that heads can read the layers of the model's architecture.
void check_layers(const common_params_speculative& wanted);

} // namespace xlc
