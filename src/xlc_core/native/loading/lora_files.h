// Checks LoRA adapters and control vectors before llama.cpp reads them. llama.cpp only logs some faults, and
// finds others while it computes.
#pragma once

#include "loading/engine_params.h"
#include "loading/model_file.h"

namespace xlc {

// Throws Error(model_not_found, model_load, unsupported_feature) that names the file and the fault.
void check_lora_files(const EngineParams& params, const ModelFile& model);

} // namespace xlc
