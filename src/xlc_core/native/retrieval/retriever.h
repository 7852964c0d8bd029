// The retrieval worker: embeds and reranks on its own thread, with its own llama_context.
#pragma once

#include "retrieval/encoder.h"
#include "retrieval/retrieval_job.h"
#include "retrieval/retrieval_task.h"
#include "retrieval/retriever_options.h"
#include "support/thread.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace xlc {

// Jobs take turns, one micro-batch each, so that a short query does not wait behind ten thousand texts. Small
// jobs that wait fill what a micro-batch has left, so that many queries at once are computed together. The
// worker creates the context for the first job; a failure there fails that job only.
class Retriever {
public:
    // Throws unsupported_feature when the model's tokenizer cannot be used.
    Retriever(std::shared_ptr<llama_model> model, RetrieverOptions options);
    ~Retriever();
    Retriever(const Retriever&) = delete;
    Retriever& operator=(const Retriever&) = delete;

    // Callable from any thread; they return at once. They throw engine_closed after close().
    std::shared_ptr<RetrievalJob> embed(std::vector<std::string> texts, EmbedOptions options);
    std::shared_ptr<RetrievalJob> embed_tokens(std::vector<std::string> texts, EmbedOptions options);
    std::shared_ptr<RetrievalJob>
    rerank(std::string query, std::vector<std::string> documents, RerankOptions options);

    // Fail unfinished jobs with engine_closed, end the thread and free the context. Idempotent.
    void close();

    // Number of tokens that a document may have beside this query. Throws the errors of rerank().
    size_t document_room(const std::string& query, const RerankOptions& options);
    // The first and last tokens of the text; see Tokenizer::ends.
    Tokens text_ends(const std::string& text, size_t n_first, size_t n_last);

    // Memory that this uses beside the model.
    MemoryReport memory();
    // Whether every job is over.
    bool idle();

    const RetrievalTraits& traits() const { return traits_; }
    // Number of tokens that the longest input may have, with special tokens.
    size_t limit() const { return limit_; }
    // Number of tokens of the next micro-batch. While a job runs, the number may be slightly old.
    size_t n_batch_tokens() const { return n_batch_tokens_; }
    bool has_own_kernels() const { return has_own_kernels_; }
    // Number of micro-batches so far.
    size_t n_batches() const { return n_batches_; }

private:
    std::shared_ptr<RetrievalJob> submit(std::unique_ptr<RetrievalTask> task);
    // Calls function(encoder) and keeps the encoder open meanwhile. For const members only.
    template<typename Function> auto with_encoder(const Function& function);
    using TaskPointer = std::unique_ptr<RetrievalTask>;

    void run();
    TaskPointer wait_for_task();
    void run_step(TaskPointer task);
    bool prepare(RetrievalTask& task);
    std::vector<TaskPointer> fill_batch(TaskPointer first);
    bool choose(RetrievalTask& task, size_t n_tokens, size_t n_sequences);
    TaskPointer take_small(size_t& place);
    void run_batch(const std::vector<TaskPointer>& tasks);
    void encode(const std::vector<RetrievalTask*>& tasks);
    bool finish_batch(RetrievalTask& task);
    void fail_running(const std::exception_ptr& failure);
    void queue_again(TaskPointer task);

    const int n_threads_;
    std::unique_ptr<Encoder> encoder_; // used by the worker
    const RetrievalTraits traits_;
    const size_t limit_;
    const bool has_own_kernels_;
    std::atomic<size_t> n_batch_tokens_;
    std::atomic<size_t> n_batches_{0};

    std::mutex mutex_; // guards the members below
    std::condition_variable changed_;
    std::deque<TaskPointer> tasks_;                      // waiting for their turn
    std::vector<std::shared_ptr<RetrievalJob>> running_; // the jobs of the micro-batch
    bool closing_ = false;
    Thread worker_;
    std::mutex close_mutex_; // a second close() waits for the first
};

} // namespace xlc
