// Exceptions in a graph that several threads compute, for overrides/ggml/ggml-cpu.c, which is C.
//
// A thread that throws does not arrive at the next barrier, where the others wait for it. So they are told to
// give up: xlc_give_up_failed() throws in each of them. When all have left the graph, its threads can be used
// again. Also ends a graph between two nodes, for computations that have no abort callback, such as those of
// images (server/step_watch.h).
#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ggml_threadpool;

// Call run(data). Return false if it threw; the computation of these threads has failed then. `helper`: the
// thread is not the one that waits in xlc_wait_for_helpers().
bool xlc_compute(void (*run)(void* data), void* data, const struct ggml_threadpool* threads, bool helper);

// Throw if the computation of these threads has failed. Cheap if none has failed in this process.
void xlc_give_up_failed(const struct ggml_threadpool* threads);

// Wait until so many helpers have left the failed computation, then forget it.
void xlc_wait_for_helpers(const struct ggml_threadpool* threads, int n_helpers);

// Set what is asked between the nodes of every graph that this thread computes from now on. If it returns
// true, the computation ends with GGML_STATUS_ABORTED. NULL: nothing. A context's own abort callback has
// priority.
typedef bool (*xlc_stop)(void* data);
void xlc_set_stop(xlc_stop stop, void* data);
xlc_stop xlc_get_stop(void** data);

#ifdef __cplusplus
}
#endif
