#include "generation/session.h"

#include "overrides/access/slots.h"

#include "common.h"
#include "ggml.h"
#include "server-task.h"

#include <filesystem>

namespace xlc {

namespace {

std::string adapters(const common_params& params) {
    std::string all;
    for (const common_adapter_lora_info& adapter : params.lora_adapters) {
        std::error_code unknown;
        const auto path = std::filesystem::u8path(adapter.path);
        all += path.filename().u8string() + " of " +
               std::to_string(std::filesystem::file_size(path, unknown)) + " bytes, ";
    }
    for (const common_control_vector_load_info& vector : params.control_vectors) {
        all += std::filesystem::u8path(vector.fname).filename().u8string() + " x " +
               std::to_string(vector.strength) + ", ";
    }
    return all.empty() ? "none" : all.substr(0, all.size() - 2);
}

std::string rope(const common_params& params) {
    return std::to_string(static_cast<int>(params.rope_scaling_type)) + " " +
           std::to_string(params.rope_freq_base) + " " + std::to_string(params.rope_freq_scale) + " " +
           std::to_string(params.yarn_ext_factor) + " " + std::to_string(params.yarn_attn_factor) + " " +
           std::to_string(params.yarn_beta_fast) + " " + std::to_string(params.yarn_beta_slow) + " " +
           std::to_string(params.yarn_orig_ctx);
}

} // namespace

std::map<std::string, std::string> session_settings(const Generator& generator) {
    const common_params& params = generator.params();
    return {
        {"cache_type_k", ggml_type_name(params.cache_type_k)},
        {"cache_type_v", ggml_type_name(params.cache_type_v)},
        {"rope", rope(params)},
        {"adapters", adapters(params)},
        // llama.cpp writes the number of streams in the cache: one for each slot, or one for all.
        {"n_parallel", params.kv_unified ? "any, with kv_unified" : std::to_string(params.n_parallel)},
    };
}

std::shared_ptr<const SlotState>
save_session(const Generator& generator, const std::optional<GenerationRequest>& request, const Poll& poll) {
    std::shared_ptr<const server_task> task;
    if (request) {
        task = generator.task(*request, poll);
    }
    const auto state = std::make_shared<std::shared_ptr<const SlotState>>();
    generator.on_loop(
        [task, state](server_context& context) {
            *state = capture_slot(context, task.get());
            return true;
        },
        poll);
    return *state;
}

void load_session(
    const Generator& generator, const std::shared_ptr<const SlotState>& state, const Poll& poll) {
    generator.on_loop([state](server_context& context) { return restore_slot(context, *state); }, poll);
}

} // namespace xlc
