// Functions of ggml's CPU backend, which can be a library that was chosen when the module was imported
// (support/backends.h). They are not linked but asked for by name, in all builds.
#pragma once

#include <ggml-cpu.h>

namespace xlc {

struct CpuBackend {
    decltype(&ggml_threadpool_new) threadpool_new;
    decltype(&ggml_threadpool_free) threadpool_free;
    // overrides/ggml/ggml-cpu.cpp adds these; the last three are for tests.
    decltype(&ggml_get_type_traits_cpu) type_traits;
    decltype(&ggml_graph_plan) graph_plan;
    decltype(&ggml_graph_compute) graph_compute;
    void (*barrier)(ggml_threadpool* threads);
};

const CpuBackend& cpu_backend();

} // namespace xlc
