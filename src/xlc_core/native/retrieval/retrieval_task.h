// The worker's side of a job: its inputs, and the work that is left.
#pragma once

#include "retrieval/encoder.h"
#include "retrieval/packing.h"
#include "retrieval/pairs.h"
#include "retrieval/pooling.h"
#include "retrieval/retrieval_job.h"

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace xlc {

// Runs in steps, so that the worker can alternate between jobs. First it tokenises slices of the inputs, then
// they go through the model in micro-batches, the longest inputs first. Several tasks may share a
// micro-batch.
class RetrievalTask {
public:
    RetrievalTask(RetrievalKind kind, std::vector<std::string> inputs, int n_threads);
    virtual ~RetrievalTask() = default;

    const std::shared_ptr<RetrievalJob>& job() const { return job_; }
    // Tasks with the same stream number run one after another. 0: not part of a stream.
    virtual size_t stream() const { return 0; }

    // Whether preparing it takes so little that it can join another task's micro-batch.
    bool is_small() const;

    // An exception of these is the job's failure.
    //
    // Do a part of the work before the model. Return true when all inputs are tokenised.
    bool prepare(Encoder& encoder);
    // Whether its inputs begin with tokens that are computed once for all of them, which no other task has.
    bool shares_beginning() const { return !sequences_.empty() && sequences_.front().n_shared > 0; }
    // Whether some of its inputs fit into what is left of a micro-batch.
    bool fits(size_t n_tokens, size_t n_sequences) const;
    // Choose the inputs of the next micro-batch: at most so many, with so many tokens. A longer one comes
    // alone.
    void choose(const Encoder& encoder, size_t n_tokens, size_t n_sequences);
    const std::vector<const TokenSequence*>& chosen() const { return chosen_; }
    // Begin the chosen inputs again, after a micro-batch that failed.
    void choose_again(const Encoder& encoder) { begin_batch(encoder, batch_, result_); }
    // Take rows of the chosen input number `slot`; see Encoder::TakeRows. Does not throw.
    void take(size_t slot, size_t first, const float* rows, size_t n_rows, size_t stride) noexcept;
    // Called when all rows were taken. Return true when the job is over.
    bool finish_batch();

protected:
    // Called once, before anything else: refuse a request that the model cannot serve.
    virtual void begin(const Encoder& encoder) = 0;
    // Return the tokens of an input. Called from several threads.
    virtual TokenSequence tokenize(const Encoder& encoder, size_t index, const std::string& input) const = 0;
    // Return with how many tokens all sequences begin, if a model that can should compute them once.
    virtual size_t n_shared(const std::vector<TokenSequence>& /*sequences*/) const { return 0; }
    // Called once, when all inputs are tokenised: allocate the results.
    virtual void allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) = 0;
    // Called before the rows of these inputs are taken.
    virtual void
    begin_batch(const Encoder& /*encoder*/, const MicroBatch& /*batch*/, RetrievalResult& /*result*/) {}
    // Write rows of an input into the results.
    virtual void write(
        size_t slot,
        size_t index,
        size_t first,
        const float* rows,
        size_t n_rows,
        size_t stride,
        RetrievalResult& result) = 0;
    // Called when all rows of these inputs were taken.
    virtual void end_batch(const MicroBatch& /*batch*/, RetrievalResult& /*result*/) {}

    Encoder::Stop stop_when_over() const {
        return [this] { return job_->is_over(); };
    }

private:
    void tokenize_slice(const Encoder& encoder);
    void plan(Encoder& encoder);

    std::shared_ptr<RetrievalJob> job_;
    std::vector<std::string> inputs_;
    int n_threads_;
    bool begun_ = false;
    std::vector<TokenSequence> sequences_;
    size_t n_tokenized_ = 0;
    std::optional<Packer> unfinished_; // set when all inputs are tokenised
    MicroBatch batch_;                 // the inputs that go through the model now
    std::vector<const TokenSequence*> chosen_;
    std::exception_ptr failure_; // while their rows were taken
    RetrievalResult result_;
};

// Embeds texts: one vector for each, or one for each token.
class EmbedTask final : public RetrievalTask {
public:
    EmbedTask(RetrievalKind kind, std::vector<std::string> texts, EmbedOptions options, int n_threads);

    size_t stream() const override { return options_.stream; }

private:
    void begin(const Encoder& encoder) override;
    TokenSequence tokenize(const Encoder& encoder, size_t index, const std::string& text) const override;
    void allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) override;
    void begin_batch(const Encoder& encoder, const MicroBatch& batch, RetrievalResult& result) override;
    void write(
        size_t slot,
        size_t index,
        size_t first,
        const float* rows,
        size_t n_rows,
        size_t stride,
        RetrievalResult&) override;
    void end_batch(const MicroBatch& batch, RetrievalResult& result) override;

    void finish_vector(float* vector, size_t index) const;

    EmbedOptions options_;
    size_t n_dims_ = 0;
    size_t n_prefix_tokens_ = 0;
    std::vector<Pooler> poolers_; // of the inputs that go through the model now
};

// Scores documents against a query.
class RerankTask final : public RetrievalTask {
public:
    RerankTask(std::string query, std::vector<std::string> documents, RerankOptions options, int n_threads);

private:
    void begin(const Encoder& encoder) override;
    TokenSequence tokenize(const Encoder& encoder, size_t index, const std::string& document) const override;
    size_t n_shared(const std::vector<TokenSequence>& sequences) const override;
    void allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) override;
    void write(
        size_t slot,
        size_t index,
        size_t first,
        const float* rows,
        size_t n_rows,
        size_t stride,
        RetrievalResult&) override;

    std::string query_;
    RerankOptions options_;
    size_t score_index_ = 0;
    std::optional<PairLayout> layout_;
};

} // namespace xlc
