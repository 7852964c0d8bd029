#include "retrieval/retrieval_job.h"

#include "support/errors.h"

#include <utility>

namespace xlc {

void RetrievalJob::cancel() {
    fail(std::make_exception_ptr(Error(ErrorKind::request_cancelled, "the request was cancelled")));
}

const RetrievalResult& RetrievalJob::result() const {
    if (!over_) {
        throw Error(
            ErrorKind::invalid_request, "the job is still running; wait() for it before you take its result");
    }
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    return result_;
}

void RetrievalJob::finish(RetrievalResult result) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (over_) {
            return;
        }
        result_ = std::move(result);
        over_ = true;
    }
    notify();
}

void RetrievalJob::fail(std::exception_ptr failure) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (over_) {
            return;
        }
        failure_ = std::move(failure);
        over_ = true;
    }
    notify();
}

} // namespace xlc
