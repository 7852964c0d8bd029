#include "support/compute_threads.h"

#include "support/batch_rounding.h"
#include "support/cpu_backend.h"

#include <llama.h>

namespace xlc {

void ComputeThreads::Free::operator()(ggml_threadpool* threads) const {
    forget_batch_rounding(threads);
    cpu_backend().threadpool_free(threads);
}

ComputeThreads::Threads ComputeThreads::start(int32_t n_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    params.poll = poll_level;
    return Threads(cpu_backend().threadpool_new(&params));
}

ComputeThreads::ComputeThreads(int32_t n_threads, int32_t n_threads_batch) : threads_(start(n_threads)) {
    if (n_threads_batch != n_threads) {
        threads_batch_ = start(n_threads_batch);
    }
}

ComputeThreads ComputeThreads::for_reading(int32_t n_threads) {
    ComputeThreads started(n_threads, n_threads);
    allow_batch_rounding(started.threads_.get());
    return started;
}

void ComputeThreads::attach(llama_context* context) const {
    llama_attach_threadpool(context, threads_.get(), threads_batch_ ? threads_batch_.get() : threads_.get());
}

} // namespace xlc
