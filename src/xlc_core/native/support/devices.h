// The devices that compute, and which of them a model uses.
#pragma once

#include <ggml-backend.h>

#include <cstddef>
#include <string>
#include <vector>

namespace xlc {

// A device, as ggml's backends report it.
struct Device {
    std::string name;        // ggml's, such as CUDA0
    std::string option;      // the value of the option `device` that chooses it, such as cuda:0
    std::string description; // such as the name of the processor
    std::string backend;
    bool is_gpu; // models can be put on it; the others are the CPU and its helpers
    size_t n_free_bytes;
    size_t n_bytes;
};

// Return all devices, the CPU too.
std::vector<Device> find_devices();

// Return the GPUs that a value of the option `device` means: none for "cpu"; all of the best backend for
// "auto", CUDA before Vulkan; all of a backend for "vulkan"; one for "vulkan:0". Of several, integrated GPUs
// are used only if all are. Throws Error(invalid_request), which lists what exists.
std::vector<ggml_backend_dev_t> choose_devices(const std::string& wanted);

// Return the number of the CPU's cores, of which the system may let this process use fewer. On Macs only the
// fast ones count.
int physical_cores();

// Return the memory that the system says is free; outside Windows ggml says all of it.
size_t free_system_memory();

// Return whether the GPUs belong to more than one backend, which may have the same card twice.
bool has_several_gpu_backends();

} // namespace xlc
