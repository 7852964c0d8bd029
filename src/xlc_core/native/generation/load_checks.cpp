#include "generation/load_checks.h"

#include "overrides/access/draft_checks.h"
#include "overrides/access/drafting.h"
#include "overrides/access/template_limits.h"
#include "support/errors.h"
#include "support/logging.h"

#include "common.h"
#include "speculative.h"

#include <algorithm>

namespace xlc {

namespace {

std::string gpu_layers(int32_t n) {
    return n == -1 ? "'auto'" : n == -2 ? "'all'" : std::to_string(n);
}

} // namespace

void throw_load_error(const EngineParams& params, const std::string& reason, bool generates) {
    const auto contains = [&](const char* text) { return reason.find(text) != std::string::npos; };
    const std::string said = reason.empty() ? "llama.cpp gave no reason" : reason;
    if (contains("alloc") || contains("out of memory") || contains("failed to fit")) {
        const std::string context = "n_parallel=" + std::to_string(params.n_parallel) +
                                    ", a total KV cache of " + std::to_string(params.n_ctx_total) +
                                    " tokens and ";
        throw Error(
            ErrorKind::insufficient_memory,
            "'" + params.model_name + "' does not fit into memory with " + (generates ? context : "") +
                "n_gpu_layers=" + gpu_layers(params.n_gpu_layers) + " (" + said + "); use " +
                (generates ? "a smaller n_ctx or n_parallel, " : "") +
                "a smaller quantisation or fewer GPU layers");
    }
    if (!params.mmproj.empty() && (contains("mmproj") || contains("multimodal"))) {
        throw Error(
            ErrorKind::model_load, "the projector '" + params.mmproj + "' does not work with '" +
                                       params.model_path + "': " + said +
                                       "; use the mmproj file that was made with the model");
    }
    if (is_head(params.model_path)) {
        throw Error(
            ErrorKind::model_load, "'" + params.model_path +
                                       "' is not a model but a head that drafts for one; open its model with "
                                       "speculation=Eagle3(…), DFlash(…) or DSpark(…) and this file");
    }
    if (contains("lora adapter")) {
        throw Error(
            ErrorKind::model_load, "a LoRA adapter does not fit '" + params.model_path + "': " + said +
                                       "; use the model that it was trained on");
    }
    throw Error(ErrorKind::model_load, "llama.cpp could not load '" + params.model_path + "': " + said);
}

void check_speculation(const common_params_speculative& wanted) {
    const SpeculationReport& report = last_speculation();
    if (report.refused) {
        throw Error(*report.refused);
    }
    for (const common_speculative_type type : wanted.types) {
        const bool active = std::count(report.active.begin(), report.active.end(), type) > 0;
        if (type != COMMON_SPECULATIVE_TYPE_NONE && !active) {
            throw Error(
                ErrorKind::model_load,
                "speculation '" + common_speculative_type_to_str(type) + "' could not start: " +
                    (report.failure.empty() ? "the model cannot run it, or the draft model is of another kind"
                                            : report.failure));
        }
    }
}

void check_template(const EngineParams& params, const common_chat_templates* templates) {
    const std::string fault = template_fault(templates);
    if (fault.empty()) {
        return;
    }
    if (!params.chat_template.empty()) {
        throw Error(ErrorKind::invalid_request, "chat_template cannot be used: " + fault);
    }
    log_warning(
        "the chat template of '" + params.model_name +
        "' cannot be used, so that the model completes and embeds, but does not chat: " + fault);
}

} // namespace xlc
