// The libraries of ggml's backends. A portable build (XLC_PORTABLE) has one CPU library for each kind of
// processor, next to the module, and loads the best one; it can load those of other backends. In other builds
// the backends are linked.
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

// Return what a library of another backend must have in common with this build: the version of ggml's
// interface and a digest of its headers (cmake/contract.cmake).
std::string ggml_contract();

// Load the library of another backend, such as Vulkan, and register its devices. Return why that failed;
// empty if it did not. Call before a model is loaded: llama.cpp does not expect devices to come later.
std::string load_backend(const std::string& path);

} // namespace xlc
