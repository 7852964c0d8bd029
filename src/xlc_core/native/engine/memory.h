// What models and contexts take of each device's memory: of those that are open, or as opening would make
// them.
#pragma once

#include "engine/engine_params.h"

#include <cstddef>
#include <string>
#include <vector>

struct llama_context;
struct llama_model;

namespace xlc {

// Bytes, by what they hold.
struct DeviceMemory {
    std::string device; // ggml's name; "CPU" for all of the host's memory
    size_t model = 0;
    size_t context = 0; // KV cache or recurrent state
    size_t compute = 0;
    size_t free = 0; // as the device's driver says; 0 where it does not
    size_t total = 0;
};

// One entry for each device, in the order in which they came up.
class MemoryReport {
public:
    // A context's own memory, and that of its model unless another context has brought it.
    void add(const llama_context* context, bool with_model);
    void add(const llama_model* model);
    void add_host(size_t model, size_t context, size_t compute);
    // The projector's weights, and the most that it computes with, as llama.cpp foretells both in one number.
    void add_projector(const EngineParams& params);
    void add(const MemoryReport& other);

    const std::vector<DeviceMemory>& devices() const { return devices_; }

private:
    DeviceMemory& device(const std::string& name);

    std::vector<DeviceMemory> devices_;
};

struct MemoryEstimate {
    std::vector<DeviceMemory> devices;
    int32_t n_ctx = 0;       // that one request may fill
    int32_t n_ctx_total = 0; // of all slots
    int32_t n_parallel = 0;
};

// What opening an engine would take, found by llama.cpp's own loading without the weights, in a fraction of a
// second. Throws as opening does.
MemoryEstimate estimate_generation(const EngineParams& params);
// The same of a model that is made for retrieval; our own kernels have a copy of their weights.
MemoryEstimate estimate_retrieval(const EngineParams& params, bool own_kernels);

} // namespace xlc
