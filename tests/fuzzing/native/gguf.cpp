// A GGUF file, as the loaders' checks see it: header, metadata, tensor table; as a model, an adapter, a
// control vector.
#include "input.h"

#include "loading/lora_files.h"
#include "loading/model_file.h"
#include "support/logging.h"

#include "gguf.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    xlc::redirect_llama_logs();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const xlc::fuzzing::MemoryFile file(data, size);
    xlc::ModelFile model;
    xlc::fuzzing::may_refuse([&] { model = xlc::read_model_file(file.path()); });
    model.causal = true;
    model.n_layer = 8;
    xlc::EngineParams params;
    params.lora.push_back({file.path(), 1.0F});
    xlc::fuzzing::may_refuse([&] { xlc::check_lora_files(params, model); });
    params.control_vectors.swap(params.lora);
    xlc::fuzzing::may_refuse([&] { xlc::check_lora_files(params, model); });
    ggml_context* tensors = nullptr;
    gguf_context* whole = gguf_init_from_file(file.path().c_str(), {false, &tensors});
    gguf_free(whole);
    ggml_free(tensors);
    return 0;
}
