// The libraries of ggml's CPU backend. A portable build (XLC_PORTABLE) has one for each kind of processor,
// next to the module, and loads the best one. In other builds the backend is linked.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace xlc {

struct CpuLibraries {
    std::string chosen;                // such as "haswell"; empty if the backend is linked
    std::map<std::string, int> scores; // of all libraries; 0: this processor cannot run it
};

// Load the library for this processor, if it is not linked. Call when the module is imported, before
// llama.cpp is used: it would look for libraries in the current folder. Only the module's own folder is
// searched.
void load_backends();

const CpuLibraries& cpu_libraries();

// Return the instruction sets that the loaded backend was compiled for, and other features that it names.
std::vector<std::string> cpu_features();

// A device that computes, as ggml's backends report it.
struct Device {
    std::string name;        // such as CUDA0
    std::string description; // such as the name of the processor
    std::string backend;
    size_t n_free_bytes;
    size_t n_bytes;
};

// Return all devices, the CPU too.
std::vector<Device> find_devices();

} // namespace xlc
