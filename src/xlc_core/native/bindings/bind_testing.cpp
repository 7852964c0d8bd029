// Failures that tests cannot cause otherwise.
#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "support/abort_guard.h"
#include "support/errors.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <nanobind/stl/pair.h>

#include <memory>
#include <utility>
#include <vector>

extern "C" void ggml_barrier(struct ggml_threadpool* threads); // ggml-cpu-impl.h, which is not for C++

namespace xlc {

namespace nb = nanobind;

namespace {

constexpr int64_t n_numbers = 1024;

struct Failing {
    int thread; // -1: none
    ggml_threadpool* threads;
};

// Adds one to the thread's share of the numbers. The other threads wait at a barrier for the one that fails.
void add_one(ggml_tensor* out, const ggml_tensor* in, int thread, int n_threads, void* data) {
    const Failing& failing = *static_cast<const Failing*>(data);
    if (thread == failing.thread) {
        GGML_ABORT("thread %d fails", thread);
    }
    if (failing.threads != nullptr) {
        ggml_barrier(failing.threads);
    }
    const auto* from = static_cast<const float*>(in->data);
    auto* to = static_cast<float*>(out->data);
    for (int64_t i = thread; i < n_numbers; i += n_threads) {
        to[i] = from[i] + 1.0F;
    }
}

ggml_status compute(int n_threads, Failing failing, float& sum) {
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(
        ggml_init({size_t{1} << 20, nullptr, false}), ggml_free);
    ggml_tensor* zeros = ggml_set_zero(ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, n_numbers));
    ggml_tensor* ones = ggml_map_custom1(context.get(), zeros, add_one, GGML_N_TASKS_MAX, &failing);
    ggml_tensor* twos = ggml_map_custom1(context.get(), ones, add_one, GGML_N_TASKS_MAX, &failing);
    ggml_cgraph* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, twos);
    ggml_cplan plan = ggml_graph_plan(graph, n_threads, failing.threads);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    const ggml_status status = ggml_graph_compute(graph, &plan);
    sum = 0.0F;
    for (int64_t i = 0; i < n_numbers; i++) {
        sum += static_cast<const float*>(twos->data)[i];
    }
    return status;
}

std::pair<std::string, float> compute_after_failure(int n_threads, int failing_thread, bool keeps_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    const std::unique_ptr<ggml_threadpool, decltype(&ggml_threadpool_free)> threads(
        keeps_threads ? ggml_threadpool_new(&params) : nullptr, ggml_threadpool_free);
    const AssertionWatch watch;
    float sum = 0.0F;
    if (compute(n_threads, {failing_thread, threads.get()}, sum) != GGML_STATUS_FAILED) {
        throw Error(ErrorKind::engine_failed, "the computation did not fail");
    }
    if (compute(n_threads, {-1, threads.get()}, sum) != GGML_STATUS_SUCCESS) {
        throw Error(ErrorKind::engine_failed, "the computation after the failed one failed");
    }
    return {watch.message(), sum};
}

} // namespace

void bind_testing(nb::module_& m) {
    m.def(
        "compute_after_failure", &compute_after_failure, nb::arg("n_threads"), nb::arg("failing_thread"),
        nb::arg("keeps_threads"), nb::call_guard<GilRelease>(),
        "For tests: compute a graph in which an assertion fails on one thread, then the same graph without. "
        "Return the assertion and the sum of 1024 twos. `keeps_threads`: on the same threads.");
    m.def(
        "fail_assertion", [] { GGML_ABORT("on the caller's thread"); }, nb::call_guard<GilRelease>(),
        "For tests: fail an assertion of llama.cpp.");
}

} // namespace xlc
