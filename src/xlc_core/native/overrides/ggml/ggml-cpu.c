// ggml's ggml-cpu.c, whose threads yield when they wait for each other for long, and in which a failed
// assertion fails the computation instead of the process.
//
// After every operation all threads wait at a barrier, where ggml lets them spin until the last one arrives.
// When another program uses the last one's processor, the others spin for milliseconds, after every
// operation. Small models were up to eighty times as slow beside busy programs (docs/building.md).
//
// Flash attention and the products of a mixture of experts are computed by our own kernels where they can
// (overrides/ggml/flash_attention.cpp, experts.cpp).
//
// A failed assertion throws (support/abort_guard.h). All threads then leave the graph (compute_guard.h), and
// ggml_graph_compute returns GGML_STATUS_FAILED. With OpenMP's threads it still ends the process.
//
// A graph without an abort callback asks the one of its thread (xlc_set_stop).

// Macros that the file defines before its includes.
#define _CRT_SECURE_NO_DEPRECATE
#define _USE_MATH_DEFINES

#include "ggml-cpu.h"
#include "overrides/ggml/compute_guard.h"
#include "overrides/ggml/experts.h"
#include "overrides/ggml/flash_attention.h"
#include "support/spinning.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sched.h>
#endif

#if defined(_MSC_VER)
#define XLC_THREAD_LOCAL __declspec(thread)
#else
#define XLC_THREAD_LOCAL _Thread_local
#pragma GCC diagnostic ignored "-Wshadow"
#endif

// Two loops spin. The loop of a barrier has a local n_passed, which numbers the barriers. The other loop, in
// which idle threads poll for work until they sleep, sees this constant instead.
enum { n_passed = -1 };

static void xlc_wait(int barrier);

// The file's definition, (void), becomes the definition of xlc_pause. Its calls, (), become calls of
// xlc_wait.
#define ggml_thread_cpu_relax(parameters) XLC_RELAX_##parameters
#define XLC_RELAX_void xlc_pause(void)
#define XLC_RELAX_ xlc_wait(n_passed)

// The function that a pool's threads run, and the one that computes a graph, get other names here. Where the
// first is only named, as the thread's start, it is ours.
#define ggml_graph_compute_secondary_thread(data) xlc_run_helper(data)
#define ggml_graph_compute(graph, plan) xlc_compute_graph(graph, plan)

// The header declares the function with these names for its parameters too.
#define ggml_compute_forward_flash_attn_ext(params, node) xlc_compute_flash_attention(params, node)

// The function is asked for each node before the file's own operations.
#include "traits.h"
#define ggml_cpu_extra_compute_forward(params, node)                                                         \
    (xlc_compute_experts(params, node) || (ggml_cpu_extra_compute_forward)(params, node))
static bool xlc_compute_experts(const struct ggml_compute_params* params, struct ggml_tensor* node) {
    return node->op == GGML_OP_MUL_MAT_ID && xlc_multiply_experts(params, node);
}

#if defined(_WIN32)
typedef DWORD xlc_thread_result;
#else
typedef void* xlc_thread_result;
#endif
#ifndef GGML_USE_OPENMP
static xlc_thread_result(ggml_graph_compute_secondary_thread)(void* data);
#endif
enum ggml_status xlc_compute_graph(struct ggml_cgraph* graph, struct ggml_cplan* plan);

#include "ggml/src/ggml-cpu/ggml-cpu.c"

#undef ggml_cpu_extra_compute_forward
#undef ggml_compute_forward_flash_attn_ext
#undef ggml_graph_compute_secondary_thread
#undef ggml_graph_compute

// The threads with which this thread computes a graph.
static XLC_THREAD_LOCAL const struct ggml_threadpool* xlc_threads;

#ifndef GGML_USE_OPENMP
static void xlc_helper(void* data) {
    xlc_run_helper(data);
}

static xlc_thread_result ggml_graph_compute_secondary_thread(void* data) {
    xlc_threads = ((const struct ggml_compute_state*)data)->threadpool;
    // After a failure it waits for the next graph.
    while (!xlc_compute(xlc_helper, data, xlc_threads, true)) {
    }
    return 0;
}
#endif

struct xlc_graph_call {
    struct ggml_cgraph* graph;
    struct ggml_cplan* plan;
    enum ggml_status status;
};

static void xlc_call(void* data) {
    struct xlc_graph_call* const call = data;
    call->status = xlc_compute_graph(call->graph, call->plan);
}

enum ggml_status ggml_graph_compute(struct ggml_cgraph* graph, struct ggml_cplan* plan) {
    // Without threads the original would start some, and nobody could end them after a failure.
    struct ggml_threadpool* own = NULL;
    if (plan->threadpool == NULL) {
        struct ggml_threadpool_params params = ggml_threadpool_params_default(plan->n_threads);
        own = ggml_threadpool_new(&params);
        plan->threadpool = own;
    }
    if (plan->abort_callback == NULL) {
        plan->abort_callback = xlc_get_stop(&plan->abort_callback_data);
    }
    struct ggml_threadpool* const threads = plan->threadpool;
    const struct ggml_threadpool* const outer = xlc_threads;
    const int last_graph = atomic_load_explicit(&threads->n_graph, memory_order_relaxed);
    struct xlc_graph_call call = {graph, plan, GGML_STATUS_FAILED};
    xlc_threads = threads;
    if (!xlc_compute(xlc_call, &call, threads, false)) {
        const int this_graph = atomic_load_explicit(&threads->n_graph, memory_order_relaxed);
        const int n_threads = this_graph == last_graph ? 1 : this_graph & GGML_THREADPOOL_N_THREADS_MASK;
        xlc_wait_for_helpers(threads, n_threads - 1);
        atomic_store_explicit(&threads->n_barrier, 0, memory_order_relaxed);
        clear_numa_thread_affinity();
    }
    xlc_threads = outer;
    if (own != NULL) {
        plan->threadpool = NULL;
        ggml_threadpool_free(own);
    }
    return call.status;
}

static void xlc_wait(int barrier) {
    enum { pauses_between_checks = 64 };
    static XLC_THREAD_LOCAL int last = n_passed;
    static XLC_THREAD_LOCAL int n_pauses;

    if (barrier == n_passed) {
        xlc_pause();
        return;
    }
    if (barrier != last) {
        last = barrier;
        n_pauses = 0;
    }
    if (n_pauses < XLC_PAUSES_BEFORE_YIELD) {
        if (n_pauses % pauses_between_checks == 0) {
            xlc_give_up_failed(xlc_threads);
        }
        ++n_pauses;
        xlc_pause();
        return;
    }
    xlc_give_up_failed(xlc_threads);
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}
