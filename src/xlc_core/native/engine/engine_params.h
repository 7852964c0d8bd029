// The parameters of an engine, with every default decided.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct common_params;

namespace xlc {

// A LoRA or a control vector, and how much of it.
struct ScaledFile {
    std::string path;
    float scale = 1;
};

struct EngineParams {
    std::string model_path;
    std::string model_name;  // as the user gave it, for messages
    int32_t n_ctx = 0;       // tokens that each request must be able to hold; 0: whatever n_ctx_total gives
    int32_t n_ctx_total = 0; // tokens of KV cache for all slots
    int32_t n_ctx_retrieval = 0; // tokens of the longest text to embed or rerank; 0: as the model was trained
    int32_t n_batch_retrieval = 0; // tokens of texts that go through together; 0: what is fastest
    int32_t n_parallel = 4;
    int32_t n_batch = 512;
    int32_t n_ubatch = 512;
    int32_t n_threads = 1;
    int32_t n_threads_batch = 1;
    int32_t n_gpu_layers = -1; // -1: as many as fit; -2: all
    int32_t main_gpu = 0;
    std::string split_mode = "layer";
    std::vector<float> tensor_split;
    std::string flash_attn = "auto";
    std::string encoder = "auto"; // or "llama.cpp": whether our own kernels may run an encoder
    std::string cache_type_k = "f16";
    std::string cache_type_v = "f16";
    bool kv_unified = false;
    bool use_mmap = true;
    bool use_mlock = false;
    std::string pooling; // empty: as the model file says
    std::string chat_template;
    int32_t thinking = -1;        // -1: as the template does, 0: off, 1: on
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

// llama.cpp's own parameters for these, `llama_args` parsed by llama.cpp's own option handlers.
// Throws Error(invalid_request) for a value or flag that it refuses.
common_params to_common_params(const EngineParams& params);

} // namespace xlc
