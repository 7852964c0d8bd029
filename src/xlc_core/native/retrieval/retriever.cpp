#include "retrieval/retriever.h"

#include "support/errors.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace xlc {

namespace {

std::exception_ptr closed_error() {
    return std::make_exception_ptr(Error(
        ErrorKind::engine_closed,
        "the engine was closed; keep it open until its requests are done, or open another"));
}

// Return the exception that is being handled as one of our errors, for which Python has a class.
std::exception_ptr current_failure() {
    try {
        throw;
    } catch (const Error&) {
        return std::current_exception();
    } catch (const std::bad_alloc&) {
        return std::make_exception_ptr(Error(
            ErrorKind::insufficient_memory,
            "the memory for the results could not be allocated; send fewer texts at once"));
    } catch (const std::exception& error) {
        return std::make_exception_ptr(
            Error(ErrorKind::engine_failed, std::string("retrieval failed: ") + error.what()));
    } catch (...) {
        return std::make_exception_ptr(Error(ErrorKind::engine_failed, "retrieval failed"));
    }
}

} // namespace

Retriever::Retriever(std::shared_ptr<llama_model> model, RetrieverOptions options)
    : n_threads_(options.n_threads), encoder_(std::make_unique<Encoder>(std::move(model), options)),
      traits_(encoder_->traits()), limit_(encoder_->limit()), has_own_kernels_(encoder_->has_own_kernels()),
      n_batch_tokens_(encoder_->n_batch_tokens()) {}

Retriever::~Retriever() {
    close();
}

std::shared_ptr<RetrievalJob> Retriever::embed(std::vector<std::string> texts, EmbedOptions options) {
    return submit(
        std::make_unique<EmbedTask>(RetrievalKind::embed, std::move(texts), std::move(options), n_threads_));
}

std::shared_ptr<RetrievalJob> Retriever::embed_tokens(std::vector<std::string> texts, EmbedOptions options) {
    return submit(
        std::make_unique<EmbedTask>(
            RetrievalKind::embed_tokens, std::move(texts), std::move(options), n_threads_));
}

std::shared_ptr<RetrievalJob>
Retriever::rerank(std::string query, std::vector<std::string> documents, RerankOptions options) {
    return submit(
        std::make_unique<RerankTask>(std::move(query), std::move(documents), std::move(options), n_threads_));
}

std::shared_ptr<RetrievalJob> Retriever::submit(std::unique_ptr<RetrievalTask> task) {
    std::shared_ptr<RetrievalJob> job = task->job();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (closing_) {
            std::rethrow_exception(closed_error());
        }
        if (!worker_.joinable()) {
            worker_ = Thread([this] { run(); });
        }
        tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
    return job;
}

void Retriever::run() {
    std::unique_ptr<RetrievalTask> task;
    while (true) {
        {
            std::unique_lock<std::mutex> lock(mutex_);
            running_ = nullptr;
            changed_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
            if (closing_) {
                return;
            }
            task = std::move(tasks_.front());
            tasks_.pop_front();
            running_ = task->job();
        }
        bool over = true;
        try {
            over = task->job()->is_over() || task->step(*encoder_);
            n_batch_tokens_ = encoder_->n_batch_tokens();
        } catch (...) {
            task->job()->fail(current_failure());
        }
        if (over) {
            task = nullptr;
            continue;
        }
        const std::shared_ptr<RetrievalJob> job = task->job();
        try {
            std::lock_guard<std::mutex> lock(mutex_);
            queue_again(std::move(task));
        } catch (...) {
            job->fail(current_failure());
        }
    }
}

template<typename Function> auto Retriever::with_encoder(const Function& function) {
    std::lock_guard<std::mutex> lock(close_mutex_);
    if (!encoder_) {
        std::rethrow_exception(closed_error());
    }
    return function(static_cast<const Encoder&>(*encoder_));
}

size_t Retriever::document_room(const std::string& query, const RerankOptions& options) {
    traits_.require_ranking();
    return with_encoder([&](const Encoder& encoder) {
        return PairLayout(encoder.model(), encoder.tokenizer(), query, options, limit_).n_room();
    });
}

MemoryReport Retriever::memory() {
    return with_encoder([](const Encoder& encoder) { return encoder.memory(); });
}

bool Retriever::idle() {
    std::lock_guard<std::mutex> lock(mutex_);
    return tasks_.empty() && !running_;
}

Tokens Retriever::text_ends(const std::string& text, size_t n_first, size_t n_last) {
    return with_encoder(
        [&](const Encoder& encoder) { return encoder.tokenizer().ends(text, n_first, n_last, nullptr); });
}

// Put the task behind all waiting tasks, but before the later tasks of its stream, which must run after it.
void Retriever::queue_again(std::unique_ptr<RetrievalTask> task) {
    const size_t stream = task->stream();
    tasks_.push_back(std::move(task));
    if (stream != 0) {
        std::stable_partition(tasks_.begin(), std::prev(tasks_.end()), [stream](const auto& waiting) {
            return waiting->stream() != stream;
        });
        const auto rest = std::find_if(tasks_.begin(), tasks_.end(), [stream](const auto& waiting) {
            return waiting->stream() == stream;
        });
        std::rotate(rest, std::prev(tasks_.end()), tasks_.end());
    }
}

void Retriever::close() {
    std::lock_guard<std::mutex> close_lock(close_mutex_);
    std::deque<std::unique_ptr<RetrievalTask>> tasks;
    std::shared_ptr<RetrievalJob> running;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        tasks.swap(tasks_);
        running.swap(running_);
    }
    changed_.notify_all();
    // Not under the lock, because failing a job wakes its waiters. Failing the running job also stops the
    // model within the micro-batch.
    if (running) {
        running->fail(closed_error());
    }
    for (const std::unique_ptr<RetrievalTask>& task : tasks) {
        task->job()->fail(closed_error());
    }
    if (worker_.joinable()) {
        worker_.join();
    }
    // A task that went back into the queue after the swap was `running`, and has failed above.
    tasks_.clear();
    encoder_ = nullptr;
}

} // namespace xlc
