// What llama.cpp would abort on, or fail on at the first request: a draft model or head that does not belong
// to the model. Throws Error(model_load) that says why.
#pragma once

#include <string>

struct common_params_speculative;
struct llama_model;

namespace xlc {

// Whether a file holds a head that uses the model's words and output: EAGLE-3, DFlash, DSpark.
bool is_head(const std::string& path);

// Before the draft model is loaded; reads the head of its file.
void check_draft_file(const common_params_speculative& wanted, const llama_model& model);

// Before its first step; nullptr for none.
void check_draft_model(
    const common_params_speculative& wanted, const llama_model* draft, const llama_model& model);

// With the contexts of both: whether the model's architecture shows heads its layers.
void check_layers(const common_params_speculative& wanted);

} // namespace xlc
