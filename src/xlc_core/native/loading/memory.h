// The memory of models and contexts on each device: of open ones, or an estimate before opening.
#pragma once

#include "loading/engine_params.h"

#include <cstddef>
#include <string>
#include <vector>

struct llama_context;
struct llama_model;

namespace xlc {

// Bytes, by their use.
struct DeviceMemory {
    std::string device; // ggml's name; "CPU" for all of the host's memory
    size_t model = 0;
    size_t context = 0; // KV cache or recurrent state
    size_t compute = 0;
    size_t free = 0; // from the device's driver; 0 if it is unknown
    size_t total = 0;
};

// One entry for each device, in the order in which they were added.
class MemoryReport {
public:
    // Add a context's memory, and its model's unless another context has added it.
    void add(const llama_context* context, bool with_model);
    void add(const llama_model* model);
    void add_host(size_t model, size_t context, size_t compute);
    // Add the projector's weights and the most that it computes with. llama.cpp predicts both in one number.
    void add_projector(const EngineParams& params);
    void add(const MemoryReport& other);

    const std::vector<DeviceMemory>& devices() const { return devices_; }

private:
    DeviceMemory& device(const std::string& name);

    std::vector<DeviceMemory> devices_;
};

struct MemoryEstimate {
    std::vector<DeviceMemory> devices;
    int32_t n_ctx = 0;       // tokens that one request may hold
    int32_t n_ctx_total = 0; // tokens of all slots
    int32_t n_parallel = 0;
};

// Return the memory that an engine would use. llama.cpp loads the model without its weights, which takes a
// fraction of a second. Throws the errors of opening.
MemoryEstimate estimate_generation(const EngineParams& params);
// The same for a retrieval model. Our kernels have their own copy of the weights.
MemoryEstimate estimate_retrieval(const EngineParams& params, bool own_kernels);

} // namespace xlc
