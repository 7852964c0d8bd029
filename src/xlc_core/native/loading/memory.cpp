#include "loading/memory.h"

#include "overrides/access/fitting.h"
#include "overrides/access/slots.h"
#include "support/errors.h"
#include "support/logging.h"

#include "common.h"
#include "llama-ext.h"
#include "llama-model.h"
#include "llama.h"
#include "mtmd.h"
#include "speculative.h"

#include <algorithm>
#include <map>

namespace xlc {

namespace {

// Host memory is one device, whatever buffer types backends have for it.
ggml_backend_dev_t device_of(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device =
        ggml_backend_buft_is_host(type) ? nullptr : ggml_backend_buft_get_device(type);
    const bool on_gpu = device && (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU ||
                                   ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_IGPU);
    return on_gpu ? device : ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
}

struct OpenedModel {
    llama_model_ptr model;
    llama_context_ptr context;
};

// Open only the sizes: reads just the file's header and allocates nothing.
OpenedModel open_without_weights(
    const std::string& path, llama_model_params model_params, const llama_context_params* context_params) {
    model_params.no_alloc = true;
    model_params.load_mode = LLAMA_LOAD_MODE_NONE;
    model_params.progress_callback = nullptr;
    LogCapture capture(/* swallow */ true);
    OpenedModel opened;
    opened.model.reset(llama_model_load_from_file(path.c_str(), model_params));
    if (opened.model && context_params) {
        opened.context.reset(llama_init_from_model(opened.model.get(), *context_params));
    }
    if (!opened.model || (context_params && !opened.context)) {
        throw Error(ErrorKind::model_load, "llama.cpp could not load '" + path + "': " + capture.summary());
    }
    return opened;
}

bool has_type(const common_params& params, common_speculative_type type) {
    const auto& types = params.speculative.types;
    return std::find(types.begin(), types.end(), type) != types.end();
}

} // namespace

DeviceMemory& MemoryReport::device(const std::string& name) {
    for (DeviceMemory& known : devices_) {
        if (known.device == name) {
            return known;
        }
    }
    devices_.push_back({name});
    return devices_.back();
}

void MemoryReport::add(const llama_context* context, bool with_model) {
    if (with_model) {
        add(llama_get_model(context));
    }
    for (const auto& [type, bytes] : llama_get_memory_breakdown(context)) {
        ggml_backend_dev_t where = device_of(type);
        DeviceMemory& entry = device(ggml_backend_dev_name(where));
        entry.context += bytes.context;
        entry.compute += bytes.compute;
        ggml_backend_dev_memory(where, &entry.free, &entry.total);
    }
}

// Tensor by tensor: llama.cpp's own figure counts the whole range of a mapped file, and so also the weights
// that were repacked for AMX or copied to a GPU, a second time.
void MemoryReport::add(const llama_model* model) {
    std::map<ggml_backend_buffer_type_t, size_t> weights;
    for (const auto& [name, tensor] : model->tensors_by_name) {
        if (tensor->buffer != nullptr) {
            ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(tensor->buffer);
            weights[type] += ggml_backend_buft_get_alloc_size(type, tensor);
        }
    }
    for (const auto& [type, bytes] : weights) {
        ggml_backend_dev_t where = device_of(type);
        DeviceMemory& entry = device(ggml_backend_dev_name(where));
        entry.model += bytes;
        ggml_backend_dev_memory(where, &entry.free, &entry.total);
    }
}

void MemoryReport::add_host(size_t model, size_t context, size_t compute) {
    ggml_backend_dev_t host = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    DeviceMemory& entry = device(ggml_backend_dev_name(host));
    entry.model += model;
    entry.context += context;
    entry.compute += compute;
    ggml_backend_dev_memory(host, &entry.free, &entry.total);
}

void MemoryReport::add_projector(const EngineParams& params) {
    if (params.mmproj.empty()) {
        return;
    }
    const common_params common = to_common_params(params);
    mtmd_context_params wanted = mtmd_context_params_default(); // like the server
    wanted.use_gpu = common.mmproj_use_gpu;
    wanted.device = common.mmproj_device;
    wanted.flash_attn_type = common.flash_attn_type;
    wanted.image_min_tokens = common.image_min_tokens;
    wanted.image_max_tokens = common.image_max_tokens;
    wanted.batch_max_tokens = common.mtmd_batch_max_tokens;
    const LogCapture quiet(/* swallow */ true);
    const mtmd_memory_usage usage = mtmd_get_memory_usage(params.mmproj.c_str(), wanted);
    for (const auto& [where, bytes] : usage.backend_mem_usage) {
        DeviceMemory& entry = device(ggml_backend_dev_name(where));
        entry.model += bytes;
        ggml_backend_dev_memory(where, &entry.free, &entry.total);
    }
}

void MemoryReport::add(const MemoryReport& other) {
    for (const DeviceMemory& added : other.devices_) {
        DeviceMemory& entry = device(added.device);
        entry.model += added.model;
        entry.context += added.context;
        entry.compute += added.compute;
        entry.free = added.free;
        entry.total = added.total;
    }
}

// The context is not counted: it is created for the first text, as large as that needs.
MemoryEstimate estimate_retrieval(const EngineParams& params, bool own_kernels) {
    common_params common = to_common_params(params);
    common.no_extra_bufts = common.no_extra_bufts || own_kernels;
    const OpenedModel opened =
        open_without_weights(params.model_path, common_model_params_to_llama(common), nullptr);
    MemoryReport report;
    report.add(opened.model.get());
    if (own_kernels) {
        size_t packed = 0;
        for (const auto& [name, tensor] : opened.model->tensors_by_name) {
            const bool is_matrix = name.compare(0, 4, "blk.") == 0 && ggml_n_dims(tensor) == 2;
            packed += is_matrix ? static_cast<size_t>(ggml_nelements(tensor)) * sizeof(int16_t) : 0;
        }
        report.add_host(packed, 0, 0);
    }
    return {report.devices()};
}

MemoryEstimate estimate_generation(const EngineParams& params) {
    common_params common = to_common_params(params);
    MemoryReport report;
    set_output_limits(common);
    llama_model_params model_params = common_model_params_to_llama(common);
    llama_context_params context_params = common_context_params_to_llama(common);

    const bool has_draft = common.speculative.has_dft();
    const bool has_mtp = has_type(common, COMMON_SPECULATIVE_TYPE_DRAFT_MTP);
    common_params draft = common_base_params_to_speculative(common);
    llama_model_params draft_model_params = common_model_params_to_llama(draft);
    llama_context_params draft_context_params = common_context_params_to_llama(draft);
    if (has_mtp) {
        draft_context_params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    }
    draft_context_params.n_rs_seq = 0;
    if (common.fit_params) { // common_init_from_params does the same before it loads
        const common_fit_extra_model extra = {
            draft.model.path.c_str(), &draft_model_params, &draft_context_params, !has_draft};
        const LogCapture quiet(/* swallow */ true);
        fit_params(
            params.model_path.c_str(), &model_params, &context_params, common.tensor_split,
            common.tensor_buft_overrides.data(), common.fit_params_target.data(), common.fit_params_min_ctx,
            has_draft || has_mtp ? &extra : nullptr, GGML_LOG_LEVEL_ERROR);
    }
    const OpenedModel opened = open_without_weights(params.model_path, model_params, &context_params);
    report.add(opened.context.get(), true);
    report.add_projector(params);
    draft_context_params.n_ctx = llama_n_ctx(opened.context.get());
    draft_context_params.ctx_other = opened.context.get(); // heads use the model's words and output
    if (has_draft) {
        const OpenedModel drafting =
            open_without_weights(draft.model.path, draft_model_params, &draft_context_params);
        report.add(drafting.context.get(), true);
    } else if (has_mtp) {
        const llama_context_ptr drafting(llama_init_from_model(opened.model.get(), draft_context_params));
        if (drafting) {
            report.add(drafting.get(), false);
        }
    }
    auto n_ctx = static_cast<int32_t>(llama_n_ctx_seq(opened.context.get()));
    n_ctx = common.kv_unified_per_slot > 0 ? std::min(n_ctx, common.kv_unified_per_slot) : n_ctx;
    n_ctx = std::min(n_ctx, llama_model_n_ctx_train(opened.model.get())); // like the server
    const auto n_ctx_total = static_cast<int32_t>(llama_n_ctx(opened.context.get()));
    return {report.devices(), n_ctx, n_ctx_total, common.n_parallel};
}

} // namespace xlc
