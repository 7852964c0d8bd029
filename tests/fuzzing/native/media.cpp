// A picture or a sound.
#include "input.h"

#include "generation/media_decoding.h"
#include "support/abort_guard.h"
#include "support/logging.h"

#include "llama.h"

namespace {

mtmd_context* projector = nullptr;

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    xlc::redirect_llama_logs();
    xlc::install_abort_handler();
    llama_model* model = llama_model_load_from_file(
        xlc::fuzzing::path_from("XLLAMA_FUZZ_MODEL").c_str(), llama_model_default_params());
    mtmd_context_params params = mtmd_context_params_default();
    params.warmup = false;
    projector = mtmd_init_from_file(xlc::fuzzing::path_from("XLLAMA_FUZZ_PROJECTOR").c_str(), model, params);
    if (projector == nullptr) {
        throw std::runtime_error("the projector cannot be opened");
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto content = std::make_shared<const std::string>(xlc::fuzzing::text_of(data, size));
    const mtmd_helper_init_opt options = mtmd_helper_init_opt_default();
    for (const char* kind : {"image", "audio"}) {
        xlc::fuzzing::may_refuse(
            [&] { xlc::decode_media({projector, &options}, {{kind, "it", content}}, {64, 256, false}); });
    }
    return 0;
}
