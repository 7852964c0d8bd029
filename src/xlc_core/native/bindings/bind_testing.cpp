// Failures that tests cannot cause otherwise, and products of single matrices.
#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "kernels/weight_product.h"
#include "support/abort_guard.h"
#include "support/errors.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <memory>
#include <string>
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

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OwnMatrix = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

OwnMatrix new_matrix(const float* values, size_t n_rows, size_t n_columns) {
    auto* copy = new std::vector<float>(values, values + n_rows * n_columns);
    const nb::capsule owner(copy, [](void* data) noexcept { delete static_cast<std::vector<float>*>(data); });
    return OwnMatrix(copy->data(), {n_rows, n_columns}, owner);
}

ggml_type type_named(const std::string& name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        if (ggml_type_name(type) && name == ggml_type_name(type)) {
            return type;
        }
    }
    throw Error(ErrorKind::invalid_request, "ggml has no type '" + name + "'");
}

void multiply_with(const EncoderKernels* kernels, const ggml_tensor* product, size_t n_threads) {
    if (!kernels) {
        throw Error(ErrorKind::unsupported_feature, "these kernels were not compiled");
    }
    std::vector<uint8_t> workspace(WeightProduct::workspace_size(*kernels, product, n_threads));
    const WeightProduct multiplied(*kernels, product, workspace.data(), n_threads);
    for (size_t thread = 0; thread < n_threads; ++thread) {
        multiplied.convert(thread);
    }
    for (size_t chunk = 0; chunk < multiplied.n_chunks(); ++chunk) {
        multiplied.multiply(chunk, chunk % n_threads);
    }
}

// Return activations · weightsᵀ and the weights as they are after rounding to `type`.
std::pair<OwnMatrix, OwnMatrix> multiply_weights(
    const Matrix& weights,
    const Matrix& activations,
    const std::string& type,
    const std::string& how,
    int n_threads) {
    const size_t n_in = weights.shape(1);
    const size_t n_out = weights.shape(0);
    const size_t n_rows = activations.shape(0);
    const auto ne = [](size_t n) { return static_cast<int64_t>(n); };
    const size_t n_all = n_in * n_out + n_in * n_rows + n_out * n_rows;
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(
        ggml_init({n_all * sizeof(float) + (size_t{1} << 20), nullptr, false}), ggml_free);
    ggml_tensor* const left = ggml_new_tensor_2d(context.get(), type_named(type), ne(n_in), ne(n_out));
    ggml_tensor* const right = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, ne(n_in), ne(n_rows));
    ggml_quantize_chunk(left->type, weights.data(), left->data, 0, ne(n_out), ne(n_in), nullptr);
    std::copy_n(activations.data(), n_in * n_rows, static_cast<float*>(right->data));
    ggml_tensor* const product = ggml_mul_mat(context.get(), left, right);
    if (how == "avx2") {
        multiply_with(avx2_encoder_kernels(), product, static_cast<size_t>(n_threads));
    } else if (how == "avx512_vnni") {
        multiply_with(avx512_encoder_kernels(), product, static_cast<size_t>(n_threads));
    } else {
        ggml_cgraph* const graph = ggml_new_graph(context.get());
        ggml_build_forward_expand(graph, product);
        ggml_cplan plan = ggml_graph_plan(graph, n_threads, nullptr);
        std::vector<uint8_t> work(plan.work_size);
        plan.work_data = work.data();
        plan.use_ref = how == "reference";
        if (ggml_graph_compute(graph, &plan) != GGML_STATUS_SUCCESS) {
            throw Error(ErrorKind::engine_failed, "the computation failed");
        }
    }
    std::vector<float> rounded(n_in * n_out);
    ggml_get_type_traits(left->type)->to_float(left->data, rounded.data(), ne(n_in * n_out));
    return {
        new_matrix(static_cast<const float*>(product->data), n_rows, n_out),
        new_matrix(rounded.data(), n_out, n_in)};
}

} // namespace

void bind_testing(nb::module_& m) {
    m.def(
        "compute_after_failure", &compute_after_failure, nb::arg("n_threads"), nb::arg("failing_thread"),
        nb::arg("keeps_threads"), nb::call_guard<GilRelease>(),
        "For tests: compute a graph in which an assertion fails on one thread, then the same graph without. "
        "Return the assertion and the sum of 1024 twos. `keeps_threads`: on the same threads.");
    m.def(
        "multiply_weights", &multiply_weights, nb::arg("weights"), nb::arg("activations"), nb::arg("type"),
        nb::arg("how"), nb::arg("n_threads") = 1,
        "For tests: return activations · weightsᵀ for weights of a ggml type, and the weights as that type "
        "holds "
        "them. `how`: 'avx2' or 'avx512_vnni', which the processor must have, 'graph', which chooses, or "
        "'reference'.");
    m.def(
        "best_kernels", [] { return best_encoder_kernels() ? best_encoder_kernels()->name : ""; },
        "Return the name of the fastest kernels of our own for this processor, or an empty text.");
    m.def(
        "fail_assertion", [] { GGML_ABORT("on the caller's thread"); }, nb::call_guard<GilRelease>(),
        "For tests: fail an assertion of llama.cpp.");
}

} // namespace xlc
