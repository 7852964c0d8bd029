#include "loading/engine_params.h"

#include "support/compute_threads.h"
#include "support/devices.h"
#include "support/errors.h"

#include "arg.h"
#include "chat.h"
#include "common.h"
#include "ggml.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace xlc {

namespace {

// Flags whose handler prints and exits, downloads, or configures a program that does not exist here.
const std::set<std::string> refused_flags = {
    "--help",
    "--usage",
    "--version",
    "--cache-list",
    "--completion-bash",
    "--list-devices",
    "--host",
    "--port",
    "--model",
    "--model-url",
    "--hf-repo",
    "--hf-file",
    "--log-file",
    "--log-disable",
    "--api-key",
    "--path",
    "--docker-repo",
    "--models-dir",
    "--sleep-idle-seconds",
    "--embedding",
    "--embeddings",
    "--rerank",
    "--reranking",
    "--tools",
    "--mcp-config",
    "--ssl-key-file",
    "--ssl-cert-file",
    "--verbosity",
};

constexpr int32_t n_ctx_step = 256; // llama.cpp rounds the context up to a multiple of this

ggml_type cache_type(const std::string& name) {
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);
        const char* type_name = ggml_type_name(type);
        if (type_name && name == type_name) {
            return type;
        }
    }
    throw Error(ErrorKind::invalid_request, "unknown cache type '" + name + "'");
}

enum llama_pooling_type to_pooling_type(const std::string& name) {
    static const std::unordered_map<std::string, enum llama_pooling_type> types = {
        {"", LLAMA_POOLING_TYPE_UNSPECIFIED}, {"none", LLAMA_POOLING_TYPE_NONE},
        {"mean", LLAMA_POOLING_TYPE_MEAN},    {"cls", LLAMA_POOLING_TYPE_CLS},
        {"last", LLAMA_POOLING_TYPE_LAST},    {"rank", LLAMA_POOLING_TYPE_RANK},
    };
    return types.at(name);
}

llama_split_mode split_mode(const std::string& name) {
    return name == "none"  ? LLAMA_SPLIT_MODE_NONE
           : name == "row" ? LLAMA_SPLIT_MODE_ROW
                           : LLAMA_SPLIT_MODE_LAYER;
}

llama_load_mode load_mode(bool use_mmap, bool use_mlock) {
    if (use_mmap) {
        return use_mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_AUTO;
    }
    return use_mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE;
}

std::string normalised(std::string flag) {
    if (flag.compare(0, 2, "--") == 0) {
        std::replace(flag.begin(), flag.end(), '_', '-');
    }
    return flag;
}

// Like the loop of common_params_parse, but without exits, environment variables and downloads.
void apply_llama_args(common_params& params, const std::vector<std::string>& args) {
    const int32_t n_parallel = params.n_parallel;
    common_params_context context = common_params_parser_init(params, LLAMA_EXAMPLE_SERVER);
    params.n_parallel = n_parallel; // the parser has replaced it by the server's default
    std::unordered_map<std::string, std::pair<common_arg*, bool>> options;
    for (common_arg& option : context.options) {
        for (const char* flag : option.args) {
            options[flag] = {&option, true};
        }
        for (const char* flag : option.args_neg) {
            options[flag] = {&option, false};
        }
    }
    for (size_t i = 0; i < args.size(); i++) {
        const std::string flag = normalised(args[i]);
        const auto found = options.find(flag);
        if (found == options.end()) {
            throw Error(ErrorKind::invalid_request, "llama_args: llama.cpp has no option '" + args[i] + "'");
        }
        const common_arg& option = *found->second.first;
        for (const char* name : option.args) {
            if (refused_flags.count(name)) {
                throw Error(
                    ErrorKind::invalid_request,
                    "llama_args: '" + args[i] +
                        "' is for llama.cpp's programs and has no effect in this process");
            }
        }
        const auto next = [&]() -> const std::string& {
            if (i + 1 >= args.size()) {
                throw Error(
                    ErrorKind::invalid_request, "llama_args: '" + args[i] + "' needs a value after it");
            }
            return args[++i];
        };
        try {
            if (option.handler_void) {
                option.handler_void(params);
            } else if (option.handler_bool) {
                option.handler_bool(params, found->second.second);
            } else if (option.handler_int) {
                option.handler_int(params, std::stoi(next()));
            } else if (option.handler_string) {
                option.handler_string(params, next());
            } else if (option.handler_str_str) {
                const std::string& first = next();
                option.handler_str_str(params, first, next());
            }
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {
            throw Error(ErrorKind::invalid_request, "llama_args: '" + flag + "': " + error.what());
        }
    }
}

// llama.cpp's list of devices ends with a null. An empty list is its own choice: all GPUs, and servers of
// RPC.
std::vector<ggml_backend_dev_t> device_list(const std::string& wanted) {
    std::vector<ggml_backend_dev_t> devices = choose_devices(wanted);
    if (wanted == "auto" && !has_several_gpu_backends()) {
        return {};
    }
    devices.push_back(nullptr);
    return devices;
}

// The projector goes where the model goes.
void place_projector(common_params& params) {
    if (params.mmproj_use_gpu && params.mmproj_device == nullptr && !params.devices.empty()) {
        params.mmproj_device = params.devices.front();
        params.mmproj_use_gpu = params.mmproj_device != nullptr;
    }
}

// llama_args may have changed the total or the number of slots.
void check_n_ctx(const common_params& params, int32_t n_ctx) {
    const int32_t per_slot = params.kv_unified ? params.n_ctx : params.n_ctx / params.n_parallel;
    if (params.n_ctx > 0 && GGML_PAD(per_slot, n_ctx_step) < n_ctx) {
        throw Error(
            ErrorKind::invalid_request,
            "llama_args: a total context of " + std::to_string(params.n_ctx) + " tokens gives each of " +
                std::to_string(params.n_parallel) + " slots " + std::to_string(per_slot) +
                ", but n_ctx=" + std::to_string(n_ctx) +
                " is required; leave --ctx-size and --parallel out of llama_args, or n_ctx");
    }
}

} // namespace

std::vector<std::string> chat_template_names() {
    std::vector<const char*> names(256);
    const int32_t n_names = llama_chat_builtin_templates(names.data(), names.size());
    names.resize(std::min(names.size(), static_cast<size_t>(n_names)));
    return {names.begin(), names.end()};
}

bool is_named_template(const std::string& chat_template) {
    if (chat_template == "chatml") {
        return false; // llama.cpp has its Jinja text
    }
    const std::vector<std::string> names = chat_template_names();
    return std::find(names.begin(), names.end(), chat_template) != names.end();
}

common_params to_common_params(const EngineParams& params) {
    common_params out;
    out.model.path = params.model_path;
    out.n_ctx = params.n_ctx_total;
    out.kv_unified_per_slot = GGML_PAD(params.n_ctx, n_ctx_step);
    out.n_parallel = params.n_parallel;
    // A step has at least a token of each request, and llama.cpp warms up with two.
    out.n_batch = std::max({params.n_batch, params.n_parallel, 2});
    out.n_ubatch = std::min(params.n_ubatch, out.n_batch);
    out.cpuparams.n_threads = params.n_threads;
    out.cpuparams_batch.n_threads = params.n_threads_batch;
    out.cpuparams.poll = poll_level;
    out.cpuparams_batch.poll = poll_level;
    out.devices = device_list(params.device);
    out.n_gpu_layers = params.n_gpu_layers;
    out.main_gpu = params.main_gpu;
    out.split_mode = split_mode(params.split_mode);
    if (params.tensor_split.size() > llama_max_devices()) {
        throw Error(
            ErrorKind::invalid_request, "tensor_split has " + std::to_string(params.tensor_split.size()) +
                                            " shares, but llama.cpp allows at most " +
                                            std::to_string(llama_max_devices()));
    }
    std::copy(params.tensor_split.begin(), params.tensor_split.end(), out.tensor_split);
    out.flash_attn_type = params.flash_attn == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                          : params.flash_attn == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                       : LLAMA_FLASH_ATTN_TYPE_AUTO;
    out.cache_type_k = cache_type(params.cache_type_k);
    out.cache_type_v = cache_type(params.cache_type_v);
    out.kv_unified = params.kv_unified;
    out.no_extra_bufts = params.keeps_file_layout;
    out.load_mode = load_mode(params.use_mmap, params.use_mlock);
    out.pooling_type = to_pooling_type(params.pooling);
    out.chat_template = params.chat_template;
    out.use_jinja = !is_named_template(params.chat_template);
    out.enable_reasoning = params.thinking;
    out.sampling.reasoning_budget_tokens = params.thinking_budget;
    out.sampling.reasoning_budget_message = params.thinking_budget_message;
    out.reasoning_format = common_reasoning_format_from_name(params.reasoning_format);
    out.cache_ram_mib = params.cache_ram_mib;
    out.ctx_shift = params.context_shift;
    out.mmproj.path = params.mmproj;
    for (const ScaledFile& file : params.lora) {
        out.lora_adapters.push_back({file.path, file.scale, "", "", nullptr});
        out.cache_ram_mib = 0; // this cache does not know which LoRA files a prompt was read with
    }
    for (const ScaledFile& file : params.control_vectors) {
        out.control_vectors.push_back({file.scale, file.path});
    }
    out.control_vector_layer_start = params.control_vector_first_layer;
    out.control_vector_layer_end = params.control_vector_last_layer;
    out.warmup = params.warmup;
    out.show_timings = false;
    // Requests have their own sampling options. llama.cpp reads the other defaults from the model file.

    if (!params.llama_args.empty()) {
        apply_llama_args(out, params.llama_args);
    }

    // The steps that common_params_parse does after its options and that matter here.
    if (!out.kv_overrides.empty()) {
        out.kv_overrides.emplace_back();
        out.kv_overrides.back().key[0] = 0;
    }
    while (out.tensor_buft_overrides.size() < llama_max_tensor_buft_overrides()) {
        out.tensor_buft_overrides.push_back({nullptr, nullptr});
    }
    if (!out.speculative.draft.tensor_buft_overrides.empty()) {
        out.speculative.draft.tensor_buft_overrides.push_back({nullptr, nullptr});
    }
    place_projector(out);
    if (!out.media_path.empty() && out.media_path.back() != '/') {
        out.media_path += '/';
    }
    if (out.n_parallel < 1) {
        throw Error(
            ErrorKind::invalid_request, "llama_args: the number of parallel slots must be at least 1");
    }
    check_n_ctx(out, params.n_ctx);
    return out;
}

} // namespace xlc
