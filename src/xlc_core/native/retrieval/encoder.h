// One llama_context for embedding or ranking, and micro-batches through it.
#pragma once

#include "loading/memory.h"
#include "retrieval/batch_arrays.h"
#include "retrieval/batch_size.h"
#include "retrieval/bert/bert_encoder.h"
#include "retrieval/retrieval_traits.h"
#include "retrieval/retriever_options.h"
#include "retrieval/tokenizing.h"
#include "support/compute_threads.h"

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace xlc {

// Not thread-safe, except for const members.
//
// The context of an embedder does not pool: it returns every token's vector, and Pooler combines them into
// one. So embed and embed_tokens share one context, and a text for a causal model may be longer than a pass.
// The pooling, a few additions per number, costs nothing next to the model. A reranker's context has
// llama.cpp's ranking head. A BERT-like encoder on a CPU does not need a context (bert/bert_encoder.h).
class Encoder {
public:
    Encoder(std::shared_ptr<llama_model> model, const RetrieverOptions& options);

    const llama_model* model() const { return model_.get(); }
    const RetrievalTraits& traits() const { return traits_; }
    const Tokenizer& tokenizer() const { return tokenizer_; }

    // Number of tokens that the longest input may have.
    size_t limit() const { return limit_; }
    // Number of tokens and of texts that a micro-batch should hold; one text fewer if they share their
    // beginning.
    size_t n_batch_tokens() const { return batch_size_.n_tokens(); }
    size_t n_batch_sequences() const { return n_batch_sequences_; }

    // Whether the model distinguishes sentence A from sentence B of a pair.
    bool has_sentence_types() const { return typed_embeddings_ != nullptr; }
    // Whether the model runs on our kernels instead of llama.cpp's graph.
    bool has_own_kernels() const { return bert_ != nullptr; }

    // Whether tokens with which all sequences of a job begin can be computed once: the model is causal, and
    // its cache can be copied at any token. Makes the context.
    bool shares_beginnings();

    // Memory that this uses beside the model. From any thread.
    MemoryReport memory() const;

    // Receives results of sequence number `slot` of the batch: n_rows rows of `stride` numbers, the first one
    // for token `first`. A reranker gives one row, with its labels.
    using TakeRows =
        std::function<void(size_t slot, size_t first, const float* rows, size_t n_rows, size_t stride)>;

    // Run sequences through the model. Together they should have at most n_batch_tokens() tokens of their
    // own; a single sequence may have up to limit(). Throws insufficient_memory, engine_failed, or
    // request_cancelled when `stop` returned true.
    using Stop = std::function<bool()>;
    void encode(const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop);

    // For tests: the number of tokens that llama.cpp has computed for all encoders of this process.
    static uint64_t n_tokens_of_process();

private:
    struct FreeContext {
        void operator()(llama_context* context) const { llama_free(context); }
    };
    struct Span; // part of a sequence that is computed in one pass

    void run(const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop);
    void run_bert(const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop);
    void
    run_passes(const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop);
    void run_spans(
        const std::vector<const TokenSequence*>& sequences,
        size_t n_shared,
        size_t n_tokens,
        const TakeRows& take);
    size_t copy_beginning(const std::vector<const TokenSequence*>& sequences, const TakeRows& take);
    void ensure_context(size_t n_tokens);
    void drop_context();
    void ensure_output_memory(size_t n_tokens);
    void run_pass(const std::vector<Span>& spans, const TakeRows& take);
    void fill_batch(const std::vector<Span>& spans);
    void check(int status) const;

    std::shared_ptr<llama_model> model_;
    RetrieverOptions options_;
    RetrievalTraits traits_;
    Tokenizer tokenizer_;
    std::unique_ptr<TypedEmbeddings> typed_embeddings_;
    std::unique_ptr<BertEncoder> bert_;
    size_t limit_;
    BatchSize batch_size_;
    size_t n_batch_sequences_;

    std::optional<ComputeThreads> threads_; // before the context, which uses them to its end
    std::unique_ptr<llama_context, FreeContext> context_;
    size_t capacity_ = 0;           // tokens that the context holds
    bool splits_sequences_ = false; // causal with a KV cache: a long text may take several passes
    size_t n_pass_tokens_ = 0;      // most tokens of a pass
    size_t largest_pass_ = 0;       // tokens of this context's largest pass so far
    Tokens beginning_;              // in the cache, as the last sequence
    BatchArrays batch_;
    Stop stop_; // from the last encode()

    mutable std::mutex memory_mutex_;
    MemoryReport memory_; // used by the context
};

} // namespace xlc
