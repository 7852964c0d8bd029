// The retrieval worker: embeds and reranks on one thread of its own, with a llama_context of its own.
#pragma once

#include "retrieval/encoder.h"
#include "retrieval/retrieval_job.h"
#include "retrieval/retrieval_task.h"
#include "retrieval/retriever_options.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace xlc {

// Jobs take turns, one micro-batch each, so that a short query does not wait behind ten thousand texts. The
// context is made at the first job, on the worker; what fails there fails that job only.
class Retriever {
public:
    // Throws unsupported_feature when the model's tokenizer cannot be used.
    Retriever(std::shared_ptr<llama_model> model, RetrieverOptions options);
    ~Retriever();
    Retriever(const Retriever&) = delete;
    Retriever& operator=(const Retriever&) = delete;

    // From any thread; they return at once. Throw engine_closed after close().
    std::shared_ptr<RetrievalJob> embed(std::vector<std::string> texts, EmbedOptions options);
    std::shared_ptr<RetrievalJob> embed_tokens(std::vector<std::string> texts, EmbedOptions options);
    std::shared_ptr<RetrievalJob>
    rerank(std::string query, std::vector<std::string> documents, RerankOptions options);

    // Fail the jobs under way with engine_closed, end the thread and free the context. Idempotent.
    void close();

    // Tokens that a document may have beside this query. Throws as a job would that reranks.
    size_t document_room(const std::string& query, const RerankOptions& options);
    // The text's tokens that an input of at most so many would have; see Tokenizer::ends.
    Tokens text_ends(const std::string& text, size_t n_first, size_t n_last);

    // What it takes beside the model.
    MemoryReport memory();
    // Whether no job is under way.
    bool idle();

    const RetrievalTraits& traits() const { return traits_; }
    // Tokens of the longest input, special tokens included.
    size_t limit() const { return limit_; }
    // Tokens of the next micro-batch; while a job is under way, of one of the last.
    size_t n_batch_tokens() const { return n_batch_tokens_; }
    bool has_own_kernels() const { return has_own_kernels_; }

private:
    std::shared_ptr<RetrievalJob> submit(std::unique_ptr<RetrievalTask> task);
    // Calls function(encoder) with the encoder held open; for what of it is const.
    template<typename Function> auto with_encoder(const Function& function);
    void run();
    void queue_again(std::unique_ptr<RetrievalTask> task);

    const int n_threads_;
    std::unique_ptr<Encoder> encoder_; // the worker's
    const RetrievalTraits traits_;
    const size_t limit_;
    const bool has_own_kernels_;
    std::atomic<size_t> n_batch_tokens_;

    std::mutex mutex_; // of what follows
    std::condition_variable changed_;
    std::deque<std::unique_ptr<RetrievalTask>> tasks_; // that wait for their turn
    std::shared_ptr<RetrievalJob> running_;            // whose turn it is
    bool closing_ = false;
    std::thread worker_;
    std::mutex close_mutex_; // a second close() waits for the first
};

} // namespace xlc
