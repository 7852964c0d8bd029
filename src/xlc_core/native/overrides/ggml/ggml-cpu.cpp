// ggml's ggml-cpu.cpp, whose backend also returns functions that our kernels and tests use
// (support/cpu_backend.h). The backend can be a library that was loaded at run time, whose functions have to
// be asked for by name.

#include "ggml-cpu.h"
#include "ggml-backend.h"

#include <cstring>

extern "C" void ggml_barrier(struct ggml_threadpool* threads); // ggml-cpu-impl.h, which is not for C++

// The definition gets another name. Where the function is only named, in the backend's table, it is ours.
static void*(ggml_backend_cpu_get_proc_address)(ggml_backend_reg_t backend, const char* name);
#define ggml_backend_cpu_get_proc_address(backend, name) xlc_get_proc_address(backend, name)

#include "ggml/src/ggml-cpu/ggml-cpu.cpp"

#undef ggml_backend_cpu_get_proc_address

static void* ggml_backend_cpu_get_proc_address(ggml_backend_reg_t backend, const char* name) {
    if (std::strcmp(name, "ggml_get_type_traits_cpu") == 0) {
        return reinterpret_cast<void*>(&ggml_get_type_traits_cpu);
    }
    if (std::strcmp(name, "ggml_graph_plan") == 0) {
        return reinterpret_cast<void*>(&ggml_graph_plan);
    }
    if (std::strcmp(name, "ggml_graph_compute") == 0) {
        return reinterpret_cast<void*>(&ggml_graph_compute);
    }
    if (std::strcmp(name, "ggml_barrier") == 0) {
        return reinterpret_cast<void*>(&ggml_barrier);
    }
    return xlc_get_proc_address(backend, name);
}
