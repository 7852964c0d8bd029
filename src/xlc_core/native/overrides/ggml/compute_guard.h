// Exceptions in a graph that several threads compute, for overrides/ggml/ggml-cpu.c, which is C.
//
// A thread that throws does not arrive at the next barrier, where the others wait for it. So they are told to
// give up: xlc_give_up_failed() throws in each of them. When all have left the graph, its threads can be used
// again.
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

#ifdef __cplusplus
}
#endif
