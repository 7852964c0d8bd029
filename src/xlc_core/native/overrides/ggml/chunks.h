// Work that all threads of a computation share.
#pragma once

#include "ggml-cpu-impl.h"

#include <cstddef>

namespace xlc {

// Wait for all threads, then call run(chunk) for the chunks that this thread takes: one after the other,
// until none is left.
template<typename Run> void share_chunks(const ggml_compute_params* params, size_t n_chunks, const Run& run) {
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (auto chunk = static_cast<size_t>(params->ith); chunk < n_chunks;
         chunk = static_cast<size_t>(ggml_threadpool_chunk_add(params->threadpool, 1))) {
        run(chunk);
    }
}

} // namespace xlc
