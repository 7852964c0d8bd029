// LoRA adapters and control vectors, looked at before llama.cpp reads them: of some faults it only logs,
// others it finds while it computes.
#pragma once

#include "engine/engine_params.h"
#include "engine/model_file.h"

namespace xlc {

// Throws Error(model_not_found, model_load, unsupported_feature) that names the file and what is wrong with
// it.
void check_lora_files(const EngineParams& params, const ModelFile& model);

} // namespace xlc
