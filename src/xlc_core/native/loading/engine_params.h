// The parameters of an engine, with all defaults filled in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct common_params;

namespace xlc {

// A LoRA adapter or a control vector, and its scale.
struct ScaledFile {
    std::string path;
    float scale = 1;
};

struct EngineParams {
    std::string model_path;
    std::string model_name;      // the user's name for it, for messages
    int32_t n_ctx = 0;           // tokens that each request must be able to hold; 0: from n_ctx_total
    int32_t n_ctx_total = 0;     // tokens of KV cache for all slots
    int32_t n_ctx_retrieval = 0; // tokens of the longest text to embed or rerank; 0: as the model was trained
    int32_t n_batch_retrieval = 0; // tokens of texts that are computed together; 0: the fastest number
    int32_t n_parallel = 4;
    int32_t n_batch = 512;
    int32_t n_ubatch = 512;
    int32_t n_threads = 1;
    int32_t n_threads_batch = 1;
    std::string device = "auto"; // see choose_devices
    int32_t n_gpu_layers = -1;   // -1: as many as fit; -2: all
    int32_t main_gpu = 0;
    std::string split_mode = "layer";
    std::vector<float> tensor_split;
    std::string flash_attn = "auto";
    // Weights stay as they are in the file. Otherwise llama.cpp may copy them into another layout.
    bool keeps_file_layout = false;
    std::string encoder = "auto"; // "auto": our kernels may run an encoder; "llama.cpp": never
    std::string cache_type_k = "f16";
    std::string cache_type_v = "f16";
    bool kv_unified = false;
    bool use_mmap = true;
    bool use_mlock = false;
    std::string pooling; // empty: the model file's pooling
    std::string chat_template;
    int32_t thinking = -1;        // -1: the template's default, 0: off, 1: on
    int32_t thinking_budget = -1; // tokens; -1: no limit
    std::string thinking_budget_message;
    std::string reasoning_format = "deepseek";
    int32_t cache_ram_mib = 1024;
    bool context_shift = false;
    std::string mmproj; // the projector's file; empty: text only
    std::vector<ScaledFile> lora;
    std::vector<ScaledFile> control_vectors;
    int32_t control_vector_first_layer = -1; // -1: all layers
    int32_t control_vector_last_layer = -1;
    bool warmup = true;
    double sleep_after = 0; // seconds without a request; 0: never
    std::vector<std::string> llama_args;
};

// Return the names of the chat templates that llama.cpp has as code.
std::vector<std::string> chat_template_names();

// Return whether llama.cpp's code renders a template, which knows messages only: no tools and no variables.
bool is_named_template(const std::string& chat_template);

// Return llama.cpp's parameters. llama.cpp's option handlers parse `llama_args`. Throws
// Error(invalid_request) for a value or flag that it refuses.
common_params to_common_params(const EngineParams& params);

} // namespace xlc
