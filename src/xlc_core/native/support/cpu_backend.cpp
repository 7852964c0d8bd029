#include "support/cpu_backend.h"

#include <ggml-backend.h>

#include <stdexcept>
#include <string>

namespace xlc {

namespace {

template<typename Function> void find(Function& function, const char* name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    void* const found =
        cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : nullptr;
    if (!found) {
        throw std::runtime_error(std::string("the CPU backend does not have ") + name);
    }
    function = reinterpret_cast<Function>(found);
}

CpuBackend find_functions() {
    CpuBackend functions{};
    find(functions.threadpool_new, "ggml_threadpool_new");
    find(functions.threadpool_free, "ggml_threadpool_free");
    find(functions.type_traits, "ggml_get_type_traits_cpu");
    find(functions.graph_plan, "ggml_graph_plan");
    find(functions.graph_compute, "ggml_graph_compute");
    find(functions.barrier, "ggml_barrier");
    return functions;
}

} // namespace

const CpuBackend& cpu_backend() {
    static const CpuBackend functions = find_functions();
    return functions;
}

} // namespace xlc
