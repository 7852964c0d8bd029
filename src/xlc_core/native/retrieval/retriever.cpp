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
    while (TaskPointer task = wait_for_task()) {
        try {
            run_step(std::move(task));
        } catch (...) { // memory for the worker's own lists
            fail_running(current_failure());
        }
    }
}

// Do a part of the work before the model for this task, or run a micro-batch with its next inputs.
void Retriever::run_step(TaskPointer task) {
    if (!prepare(*task)) {
        if (!task->job()->is_over()) {
            queue_again(std::move(task));
        }
        return;
    }
    std::vector<TaskPointer> tasks = fill_batch(std::move(task));
    run_batch(tasks);
    n_batch_tokens_ = encoder_->n_batch_tokens();
    for (TaskPointer& each : tasks) {
        if (!finish_batch(*each)) {
            queue_again(std::move(each));
        }
    }
}

// Return the task whose turn it is; null when the retriever closes.
Retriever::TaskPointer Retriever::wait_for_task() {
    std::unique_lock<std::mutex> lock(mutex_);
    running_.clear();
    changed_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
    if (closing_) {
        return nullptr;
    }
    TaskPointer task = std::move(tasks_.front());
    tasks_.pop_front();
    running_.push_back(task->job());
    return task;
}

// Do a part of the work before the model. Return whether the task is ready for it. A failure ends the job.
bool Retriever::prepare(RetrievalTask& task) {
    try {
        return !task.job()->is_over() && task.prepare(*encoder_) && !task.job()->is_over();
    } catch (...) {
        task.job()->fail(current_failure());
        return false;
    }
}

// Choose the inputs of a micro-batch: the first task's, and those of small tasks that fit beside them.
std::vector<Retriever::TaskPointer> Retriever::fill_batch(TaskPointer first) {
    size_t n_tokens = encoder_->n_batch_tokens();
    size_t n_sequences = encoder_->n_batch_sequences() - (first->shares_beginning() ? 1 : 0);
    const bool can_join = !first->shares_beginning();
    std::vector<TaskPointer> tasks;
    const auto add = [&](TaskPointer task) {
        if (!choose(*task, n_tokens, n_sequences)) {
            return;
        }
        for (const TokenSequence* sequence : task->chosen()) {
            n_tokens -= std::min(n_tokens, sequence->n_own());
        }
        n_sequences -= task->chosen().size();
        tasks.push_back(std::move(task));
    };
    add(std::move(first));
    size_t place = 0; // in the queue; tasks before it do not fit
    while (can_join && n_tokens > 0 && n_sequences > 0) {
        TaskPointer task = take_small(place);
        if (!task) {
            break;
        }
        bool is_ready = prepare(*task);
        while (!is_ready && !task->job()->is_over()) {
            is_ready = prepare(*task);
        }
        if (!is_ready) {
            continue; // it is over
        }
        if (!task->shares_beginning() && task->fits(n_tokens, n_sequences)) {
            add(std::move(task));
            continue;
        }
        std::lock_guard<std::mutex> lock(mutex_);
        if (closing_) {
            break; // close() has failed it
        }
        running_.pop_back();
        tasks_.insert(tasks_.begin() + static_cast<std::ptrdiff_t>(place), std::move(task));
        ++place;
    }
    return tasks;
}

// Choose the next inputs of a task. A failure ends the job; then false is returned.
bool Retriever::choose(RetrievalTask& task, size_t n_tokens, size_t n_sequences) {
    try {
        task.choose(*encoder_, n_tokens, n_sequences);
        return true;
    } catch (...) {
        task.job()->fail(current_failure());
        return false;
    }
}

// Take the first small task from this place on out of the queue, and set the place to where it was. Null if
// there is not any.
Retriever::TaskPointer Retriever::take_small(size_t& place) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_ || place >= tasks_.size()) {
        return nullptr;
    }
    const auto found = std::find_if(
        tasks_.begin() + static_cast<std::ptrdiff_t>(place), tasks_.end(),
        [](const TaskPointer& task) { return task->stream() == 0 && task->is_small(); });
    if (found == tasks_.end()) {
        return nullptr;
    }
    running_.push_back((*found)->job());
    TaskPointer task = std::move(*found);
    place = static_cast<size_t>(found - tasks_.begin());
    tasks_.erase(found);
    return task;
}

// Run the chosen inputs through the model. If that fails, each task is tried alone, so that none fails for
// another one.
void Retriever::run_batch(const std::vector<TaskPointer>& tasks) {
    std::vector<RetrievalTask*> all;
    all.reserve(tasks.size());
    for (const TaskPointer& task : tasks) {
        all.push_back(task.get());
    }
    try {
        encode(all);
        return;
    } catch (...) {
        if (all.size() == 1) {
            all.front()->job()->fail(current_failure());
            return;
        }
    }
    for (RetrievalTask* task : all) {
        try {
            if (!task->job()->is_over()) {
                task->choose_again(*encoder_);
                encode({task});
            }
        } catch (...) {
            task->job()->fail(current_failure());
        }
    }
}

void Retriever::encode(const std::vector<RetrievalTask*>& tasks) {
    std::vector<const TokenSequence*> sequences;
    std::vector<std::pair<RetrievalTask*, size_t>> places; // of the sequences
    for (RetrievalTask* task : tasks) {
        for (size_t slot = 0; slot < task->chosen().size(); ++slot) {
            sequences.push_back(task->chosen()[slot]);
            places.emplace_back(task, slot);
        }
    }
    if (sequences.empty()) {
        return;
    }
    ++n_batches_;
    encoder_->encode(
        sequences,
        [&](size_t slot, size_t first, const float* rows, size_t n_rows, size_t stride) {
            places[slot].first->take(places[slot].second, first, rows, n_rows, stride);
        },
        [&] {
            return std::all_of(
                tasks.begin(), tasks.end(), [](const RetrievalTask* task) { return task->job()->is_over(); });
        });
}

// Return whether the job is over. A failure ends it.
bool Retriever::finish_batch(RetrievalTask& task) {
    try {
        return task.job()->is_over() || task.finish_batch();
    } catch (...) {
        task.job()->fail(current_failure());
        return true;
    }
}

void Retriever::fail_running(const std::exception_ptr& failure) {
    std::vector<std::shared_ptr<RetrievalJob>> failed;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failed.swap(running_);
    }
    for (const std::shared_ptr<RetrievalJob>& job : failed) {
        job->fail(failure);
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
    return tasks_.empty() && running_.empty();
}

Tokens Retriever::text_ends(const std::string& text, size_t n_first, size_t n_last) {
    return with_encoder(
        [&](const Encoder& encoder) { return encoder.tokenizer().ends(text, n_first, n_last, nullptr); });
}

// Put the task behind all waiting tasks, but before the later tasks of its stream, which must run after it.
void Retriever::queue_again(TaskPointer task) {
    std::lock_guard<std::mutex> lock(mutex_);
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
    std::deque<TaskPointer> tasks;
    std::vector<std::shared_ptr<RetrievalJob>> running;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        tasks.swap(tasks_);
        running.swap(running_);
    }
    changed_.notify_all();
    // Not under the lock, because failing a job wakes its waiters. Failing the running jobs also stops the
    // model within the micro-batch.
    for (const std::shared_ptr<RetrievalJob>& job : running) {
        job->fail(closed_error());
    }
    for (const TaskPointer& task : tasks) {
        task->job()->fail(closed_error());
    }
    if (worker_.joinable()) {
        worker_.join();
    }
    // A task that went back into the queue after the swap was in `running`, and has failed above.
    tasks_.clear();
    encoder_ = nullptr;
}

} // namespace xlc
