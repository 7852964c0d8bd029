// The worker's side of a job: its inputs, and the work that is left.
#pragma once

#include "retrieval/encoder.h"
#include "retrieval/packing.h"
#include "retrieval/pairs.h"
#include "retrieval/pooling.h"
#include "retrieval/retrieval_job.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace xlc {

// Runs in steps, so that the worker can alternate between jobs. First it tokenises slices of the inputs, then
// it runs micro-batches through the model, the longest inputs first.
class RetrievalTask {
public:
    RetrievalTask(RetrievalKind kind, std::vector<std::string> inputs, int n_threads);
    virtual ~RetrievalTask() = default;

    const std::shared_ptr<RetrievalJob>& job() const { return job_; }
    // Tasks with the same stream number run one after another. 0: not part of a stream.
    virtual size_t stream() const { return 0; }

    // Do a part of the work. Return true when the job is over. An exception is the job's failure.
    bool step(Encoder& encoder);

protected:
    // Called once, before anything else: refuse a request that the model cannot serve.
    virtual void begin(const Encoder& encoder) = 0;
    // Return the tokens of an input. Called from several threads.
    virtual TokenSequence tokenize(const Encoder& encoder, size_t index, const std::string& input) const = 0;
    // Return with how many tokens all sequences begin, if a model that can should compute them once.
    virtual size_t n_shared(const std::vector<TokenSequence>& /*sequences*/) const { return 0; }
    // Called once, when all inputs are tokenised: allocate the results.
    virtual void allocate(const std::vector<TokenSequence>& sequences, RetrievalResult& result) = 0;
    // Run some of the inputs through the model and write their results.
    virtual void
    run(Encoder& encoder,
        const MicroBatch& batch,
        const std::vector<const TokenSequence*>& sequences,
        RetrievalResult& result) = 0;

    Encoder::Stop stop_when_over() const {
        return [this] { return job_->is_over(); };
    }

private:
    void tokenize_slice(const Encoder& encoder);
    void plan(Encoder& encoder);
    void run_next_batch(Encoder& encoder);

    std::shared_ptr<RetrievalJob> job_;
    std::vector<std::string> inputs_;
    int n_threads_;
    bool begun_ = false;
    std::vector<TokenSequence> sequences_;
    size_t n_tokenized_ = 0;
    std::optional<Packer> unfinished_; // set when all inputs are tokenised
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
    void
    run(Encoder& encoder,
        const MicroBatch& batch,
        const std::vector<const TokenSequence*>& sequences,
        RetrievalResult& result) override;

    void pool(Encoder&, const MicroBatch&, const std::vector<const TokenSequence*>&, RetrievalResult&);
    void copy_rows(Encoder&, const MicroBatch&, const std::vector<const TokenSequence*>&, RetrievalResult&);
    void finish_vector(float* vector, size_t index) const;

    EmbedOptions options_;
    size_t n_dims_ = 0;
    size_t n_prefix_tokens_ = 0;
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
    void
    run(Encoder& encoder,
        const MicroBatch& batch,
        const std::vector<const TokenSequence*>& sequences,
        RetrievalResult& result) override;

    std::string query_;
    RerankOptions options_;
    std::optional<PairLayout> layout_;
};

} // namespace xlc
