// Failures that tests cannot cause otherwise, and products of single matrices.
#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "constraints/ending.h"
#include "kernels/expert_product.h"
#include "kernels/flash_attention.h"
#include "kernels/weight_product.h"
#include "overrides/access/steps.h"
#include "retrieval/encoder.h"
#include "support/abort_guard.h"
#include "support/compute_threads.h"
#include "support/cpu_backend.h"
#include "support/errors.h"

#include <ggml.h>

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
        cpu_backend().barrier(failing.threads);
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
    ggml_cplan plan = cpu_backend().graph_plan(graph, n_threads, failing.threads);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    const ggml_status status = cpu_backend().graph_compute(graph, &plan);
    sum = 0.0F;
    for (int64_t i = 0; i < n_numbers; i++) {
        sum += static_cast<const float*>(twos->data)[i];
    }
    return status;
}

std::pair<std::string, float> compute_after_failure(int n_threads, int failing_thread, bool keeps_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    const std::unique_ptr<ggml_threadpool, decltype(CpuBackend::threadpool_free)> threads(
        keeps_threads ? cpu_backend().threadpool_new(&params) : nullptr, cpu_backend().threadpool_free);
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

template<typename Array> Array new_array(const float* values, std::initializer_list<size_t> shape) {
    const size_t n = std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
    auto* copy = new std::vector<float>(values, values + n);
    const nb::capsule owner(copy, [](void* data) noexcept { delete static_cast<std::vector<float>*>(data); });
    return Array(copy->data(), shape, owner);
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

std::vector<float> floats_of(const ggml_tensor* tensor) {
    std::vector<float> floats(static_cast<size_t>(ggml_nelements(tensor)));
    if (const auto to_float = ggml_get_type_traits(tensor->type)->to_float) {
        to_float(tensor->data, floats.data(), ggml_nelements(tensor));
    } else { // float32
        std::copy_n(static_cast<const float*>(tensor->data), floats.size(), floats.data());
    }
    return floats;
}

void multiply_with(const Kernels& kernels, const ggml_tensor* product, size_t n_threads) {
    std::vector<uint8_t> workspace(WeightProduct::workspace_size(kernels, product, n_threads));
    const WeightProduct multiplied(kernels, product, workspace.data(), n_threads);
    for (size_t thread = 0; thread < n_threads; ++thread) {
        multiplied.convert(thread);
    }
    for (size_t chunk = 0; chunk < multiplied.n_chunks(); ++chunk) {
        multiplied.multiply(chunk, chunk % n_threads);
    }
}

using Compute = void (*)(const Kernels& kernels, const ggml_tensor* node, size_t n_threads);

// Compute a node of a graph. `how`: see bind_testing().
void compute_as(
    const std::string& how, Compute with_kernels, ggml_context* context, ggml_tensor* node, int n_threads) {
    if (how == "avx2" || how == "avx512_vnni") {
        const Kernels* const kernels = how == "avx2" ? avx2_kernels() : avx512_kernels();
        if (!kernels) {
            throw Error(ErrorKind::unsupported_feature, "these kernels were not compiled");
        }
        with_kernels(*kernels, node, static_cast<size_t>(n_threads));
        return;
    }
    ggml_cgraph* const graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, node);
    ggml_cplan plan = cpu_backend().graph_plan(graph, n_threads, nullptr);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    plan.use_ref = how == "reference";
    std::optional<ComputeThreads> threads;
    if (how == "reading") {
        threads.emplace(ComputeThreads::for_reading(n_threads));
        plan.threadpool = threads->get();
    }
    if (cpu_backend().graph_compute(graph, &plan) != GGML_STATUS_SUCCESS) {
        throw Error(ErrorKind::engine_failed, "the computation failed");
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
    compute_as(how, multiply_with, context.get(), product, n_threads);
    const std::vector<float> rounded = floats_of(left);
    return {
        new_array<OwnMatrix>(static_cast<const float*>(product->data), {n_rows, n_out}),
        new_array<OwnMatrix>(rounded.data(), {n_out, n_in})};
}

using Matrices = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Choices = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OwnMatrices = nb::ndarray<nb::numpy, float, nb::ndim<3>>;

void multiply_experts_with(const Kernels& kernels, const ggml_tensor* product, size_t n_threads) {
    std::vector<uint8_t> workspace(ExpertProduct::workspace_size(kernels, product, n_threads));
    const ExpertProduct multiplied(kernels, product, workspace.data(), n_threads, true);
    multiplied.sort();
    for (size_t thread = 0; thread < n_threads; ++thread) {
        multiplied.convert(thread);
    }
    for (size_t chunk = 0; chunk < multiplied.n_chunks(); ++chunk) {
        multiplied.multiply(chunk, chunk % n_threads);
    }
}

// Return [token, slot, n_out] and the weights as they are after rounding to `type`.
std::pair<OwnMatrices, OwnMatrices> multiply_experts(
    const Matrices& weights,
    const Matrices& activations,
    const Choices& choices,
    const std::string& type,
    const std::string& how,
    int n_threads) {
    const size_t n_tokens = choices.shape(0);
    const size_t n_slots = choices.shape(1);
    const size_t n_out = weights.shape(1);
    const auto ne = [](size_t n) { return static_cast<int64_t>(n); };
    const size_t n_all = weights.size() + activations.size() + 2 * choices.size() + choices.size() * n_out;
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(
        ggml_init({n_all * sizeof(float) + (size_t{1} << 20), nullptr, false}), ggml_free);
    ggml_tensor* const experts = ggml_new_tensor_3d(
        context.get(), type_named(type), ne(weights.shape(2)), ne(n_out), ne(weights.shape(0)));
    ggml_tensor* const rows = ggml_new_tensor_3d(
        context.get(), GGML_TYPE_F32, ne(activations.shape(2)), ne(activations.shape(1)), ne(n_tokens));
    ggml_quantize_chunk(
        experts->type, weights.data(), experts->data, 0, ggml_nrows(experts), experts->ne[0], nullptr);
    std::copy_n(activations.data(), activations.size(), static_cast<float*>(rows->data));
    // A part of a wider matrix, as a graph takes the first of all experts in their order.
    ggml_tensor* const wide = ggml_new_tensor_2d(context.get(), GGML_TYPE_I32, ne(2 * n_slots), ne(n_tokens));
    ggml_tensor* const chosen = ggml_view_2d(context.get(), wide, ne(n_slots), ne(n_tokens), wide->nb[1], 0);
    for (size_t token = 0; token < n_tokens; ++token) {
        std::copy_n(
            choices.data() + token * n_slots, n_slots,
            static_cast<int32_t*>(wide->data) + 2 * token * n_slots);
    }
    ggml_tensor* const product = ggml_mul_mat_id(context.get(), experts, rows, chosen);
    compute_as(how, multiply_experts_with, context.get(), product, n_threads);
    const std::vector<float> rounded = floats_of(experts);
    return {
        new_array<OwnMatrices>(static_cast<const float*>(product->data), {n_tokens, n_slots, n_out}),
        new_array<OwnMatrices>(rounded.data(), {weights.shape(0), n_out, weights.shape(2)})};
}

using Heads = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Masks = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Sinks = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OwnHeads = nb::ndarray<nb::numpy, float, nb::ndim<4>>;

void attend_with(const Kernels& kernels, const ggml_tensor* node, size_t n_threads) {
    std::vector<uint8_t> workspace(FlashAttention::workspace_size(node, n_threads) + (size_t{1} << 22));
    const FlashAttention attention(kernels, node, workspace.data(), workspace.size(), n_threads);
    for (size_t chunk = 0; chunk < attention.n_chunks(); ++chunk) {
        attention.attend(chunk, chunk % n_threads);
    }
    for (size_t thread = 0; thread < n_threads && attention.n_parts() > 1; ++thread) {
        attention.combine(thread);
    }
}

// A tensor [ne3][ne2][ne1][ne0] of a type with these numbers.
ggml_tensor* new_heads(ggml_context* context, const Heads& numbers, ggml_type type) {
    const auto ne = [&](size_t i) { return static_cast<int64_t>(numbers.shape(3 - i)); };
    ggml_tensor* const heads = ggml_new_tensor_4d(context, type, ne(0), ne(1), ne(2), ne(3));
    ggml_quantize_chunk(type, numbers.data(), heads->data, 0, ggml_nrows(heads), ne(0), nullptr);
    return heads;
}

OwnHeads attend(
    const Heads& queries,
    const Heads& keys,
    const Heads& values,
    const std::optional<Masks>& masks,
    const std::optional<Sinks>& sinks,
    const std::string& type,
    float max_bias,
    float softcap,
    const std::string& how,
    int n_threads) {
    const size_t n_all = 2 * (queries.size() + keys.size() + values.size() + (masks ? masks->size() : 0)) +
                         queries.size() / queries.shape(3) * values.shape(3);
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(
        ggml_init({n_all * sizeof(float) + (size_t{1} << 20), nullptr, false}), ggml_free);
    ggml_tensor* mask = nullptr;
    if (masks) {
        const auto ne = [&](size_t i) { return static_cast<int64_t>(masks->shape(2 - i)); };
        mask = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, ne(0), ne(1), 1, ne(2));
        ggml_fp32_to_fp16_row(
            masks->data(), static_cast<ggml_fp16_t*>(mask->data), static_cast<int64_t>(masks->size()));
    }
    ggml_tensor* const node = ggml_flash_attn_ext(
        context.get(), new_heads(context.get(), queries, GGML_TYPE_F32),
        new_heads(context.get(), keys, type_named(type)), new_heads(context.get(), values, type_named(type)),
        mask, 1.0F / std::sqrt(static_cast<float>(queries.shape(3))), max_bias, softcap);
    if (sinks) {
        ggml_tensor* const added = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, node->ne[1]);
        std::copy_n(sinks->data(), sinks->size(), static_cast<float*>(added->data));
        ggml_flash_attn_ext_add_sinks(node, added);
    }
    compute_as(how, attend_with, context.get(), node, n_threads);
    const auto ne = [&](size_t i) { return static_cast<size_t>(node->ne[3 - i]); };
    return new_array<OwnHeads>(static_cast<const float*>(node->data), {ne(0), ne(1), ne(2), ne(3)});
}

} // namespace

void bind_testing(nb::module_& m) {
    nb::class_<StepCounts>(m, "StepCounts", "Counters of the steps of all engines of this process.")
        .def_ro(
            "n_prompt_parts", &StepCounts::n_prompt_parts, "Parts of prompts that were read to their end.")
        .def_ro("n_given_up", &StepCounts::n_given_up, "Computations that ended, as nobody waited for them.")
        .def_ro(
            "n_for_newcomers", &StepCounts::n_for_newcomers,
            "Parts of prompts whose computation ended for a new request.")
        .def_ro("n_held", &StepCounts::n_held, "Computations that hold_steps() has stopped.");
    m.def(
        "n_encoded_tokens", &Encoder::n_tokens_of_process,
        "Return how many tokens llama.cpp has computed for embedding and ranking in this process.");
    m.def(
        "n_searched_endings", &n_searched_endings,
        "Return how often an ending of an answer was searched in this process.");
    m.def("step_counts", &step_counts, "Return the counters of this process.");
    m.def(
        "hold_steps", &hold_steps, nb::arg("hold"),
        "For tests: computations of requests wait between two operations until they are ended, or until this "
        "is called with False.");
    m.def(
        "pretend_prompt_speed", &pretend_prompt_speed, nb::arg("seconds_per_token"),
        "For tests: steps are sized as if a token of a prompt took so long. 0: it is measured.");
    m.def(
        "compute_after_failure", &compute_after_failure, nb::arg("n_threads"), nb::arg("failing_thread"),
        nb::arg("keeps_threads"), nb::call_guard<GilRelease>(),
        "For tests: compute a graph in which an assertion fails on one thread, then the same graph without. "
        "Return the assertion and the sum of 1024 twos. `keeps_threads`: on the same threads.");
    m.def(
        "multiply_weights", &multiply_weights, nb::arg("weights"), nb::arg("activations"), nb::arg("type"),
        nb::arg("how"), nb::arg("n_threads") = 1,
        "For tests: return activations · weightsᵀ for weights of a ggml type, and the weights as that type "
        "holds them. `how`: 'avx2' or 'avx512_vnni', which the processor must have, 'graph', which chooses, "
        "'reading', which chooses as threads that only read texts, or 'reference'.");
    m.def(
        "multiply_experts", &multiply_experts, nb::arg("weights"), nb::arg("activations"), nb::arg("choices"),
        nb::arg("type"), nb::arg("how"), nb::arg("n_threads") = 1,
        "For tests: return activations [token, slot, n_in] · weightsᵀ [expert, n_out, n_in] of the experts "
        "that "
        "choices [token, slot] names, for weights of a ggml type, and the weights as that type holds them. "
        "Activations may be the same for all slots: [token, 1, n_in]. `how` as above.");
    m.def(
        "attend", &attend, nb::arg("queries"), nb::arg("keys"), nb::arg("values"), nb::arg("masks").none(),
        nb::arg("sinks").none(), nb::arg("type"), nb::arg("max_bias"), nb::arg("softcap"), nb::arg("how"),
        nb::arg("n_threads") = 1,
        "For tests: flash attention of queries [stream, head, token, n] to keys and values [stream, head, "
        "key, n] of a "
        "ggml type, with masks [stream, token, key] and sinks [head]. Return [stream, token, head, n]. `how` "
        "as "
        "above.");
    m.def(
        "best_kernels", [] { return best_kernels() ? best_kernels()->name : ""; },
        "Return the name of the fastest kernels of our own for this processor, or an empty text.");
    m.def(
        "fail_assertion", [] { GGML_ABORT("on the caller's thread"); }, nb::call_guard<GilRelease>(),
        "For tests: fail an assertion of llama.cpp.");
}

} // namespace xlc
