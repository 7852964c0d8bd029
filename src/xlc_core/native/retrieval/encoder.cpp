#include "retrieval/encoder.h"

#include "overrides/access/logits.h"
#include "retrieval/free_memory.h"
#include "support/abort_guard.h"
#include "support/errors.h"
#include "support/logging.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>

namespace xlc {

namespace {

// Sizes to choose from; the first is used until the choice is made. On a CPU small matrix products already
// run at full speed, and llama.cpp attends over the whole micro-batch, so that larger ones cost more. Our
// kernels attend within each text only. A GPU needs larger micro-batches to be busy.
const std::vector<size_t> cpu_batch_sizes{128, 64, 256, 512};
const std::vector<size_t> own_kernels_batch_sizes{256, 128, 512};
const std::vector<size_t> gpu_batch_sizes{2048, 512, 1024, 4096};

// More sequences in one micro-batch are not faster, and llama.cpp reserves memory for each.
constexpr size_t max_sequences = 64;

// A context starts with this capacity and grows with the inputs. An encoder's compute buffers grow with the
// capacity, to gigabytes at 8192 tokens, but most texts are short.
constexpr size_t initial_capacity = 512;

// Causal models read a long text in passes of this many tokens, because llama.cpp always keeps n_vocab logits
// for every token of a pass.
constexpr size_t min_causal_pass_tokens = 256;

// llama.cpp rounds a context's size to this.
constexpr size_t capacity_step = 256;

// For outputs up to this size the free memory is not checked, since the check costs time.
constexpr size_t unchecked_output_bytes = size_t(256) << 20;

// Return values of llama_encode and llama_decode; no_output is ours.
constexpr int aborted = 2;
constexpr int no_memory = -2;
constexpr int no_output = -100;

std::atomic<uint64_t> n_computed{0};

size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

size_t find_limit(const llama_model* model, const RetrieverOptions& options, const RetrievalTraits& traits) {
    const size_t n_ctx = options.n_ctx > 0 ? static_cast<size_t>(options.n_ctx)
                                           : static_cast<size_t>(std::max(llama_model_n_ctx_train(model), 1));
    return std::min(n_ctx, traits.n_positions);
}

std::unique_ptr<BertEncoder> make_bert_encoder(const llama_model* model, const RetrieverOptions& options) {
    auto weights = options.own_kernels ? BertWeights::of(model, options.n_threads) : nullptr;
    return weights ? std::make_unique<BertEncoder>(std::move(weights), options.n_threads) : nullptr;
}

std::vector<size_t>
find_batch_sizes(const RetrieverOptions& options, const RetrievalTraits& traits, bool own_kernels) {
    if (options.n_batch_tokens > 0) {
        return {static_cast<size_t>(options.n_batch_tokens)};
    }
    return own_kernels ? own_kernels_batch_sizes : traits.on_gpu ? gpu_batch_sizes : cpu_batch_sizes;
}

} // namespace

// Tokens [first, first + n) of a sequence that is number `slot` of the batch.
struct Encoder::Span {
    const TokenSequence* sequence;
    size_t slot;
    size_t first;
    size_t n;
};

Encoder::Encoder(std::shared_ptr<llama_model> model, const RetrieverOptions& options)
    : model_(std::move(model)), options_(options), traits_(model_.get(), options.pooling),
      tokenizer_(llama_model_get_vocab(model_.get())), bert_(make_bert_encoder(model_.get(), options)),
      limit_(find_limit(model_.get(), options, traits_)),
      batch_size_(find_batch_sizes(options, traits_, bert_ != nullptr)),
      n_batch_sequences_(std::min({max_sequences, batch_size_.largest(), llama_max_parallel_sequences()})) {
    if (traits_.pooling == LLAMA_POOLING_TYPE_RANK) {
        typed_embeddings_ = TypedEmbeddings::of(model_.get());
    }
}

void Encoder::encode(
    const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop) {
    const auto begin = std::chrono::steady_clock::now();
    run(sequences, take, stop);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    size_t n_tokens = 0;
    for (const TokenSequence* sequence : sequences) {
        n_tokens += sequence->n_own();
    }
    batch_size_.record(n_tokens, sequences.size() == n_batch_sequences_, taken.count());
}

void Encoder::run(
    const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop) {
    if (bert_) {
        run_bert(sequences, take, stop);
        return;
    }
    const WithoutLogits no_logits;
    const AssertionWatch watch;
    try {
        run_passes(sequences, take, stop);
    } catch (const Error&) {
        if (!watch.failed()) {
            throw;
        }
        drop_context();
    } catch (...) {
        drop_context();
        if (!watch.failed()) {
            throw;
        }
    }
    if (watch.failed()) {
        throw Error(
            ErrorKind::engine_failed, "llama.cpp failed on a micro-batch of model " + traits_.name + ": " +
                                          watch.message() + "; later requests get a new context");
    }
}

// llama.cpp stopped in the middle, so the context's state cannot be relied on.
void Encoder::drop_context() {
    context_ = nullptr;
    beginning_.clear();
    threads_.reset(); // after the context that uses them
    capacity_ = 0;
}

void Encoder::run_bert(
    const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop) {
    if (!bert_->encode(sequences, stop)) {
        check(aborted);
    }
    for (size_t slot = 0; slot < sequences.size(); ++slot) {
        if (traits_.pooling == LLAMA_POOLING_TYPE_RANK) {
            take(slot, 0, bert_->labels(slot).data(), 1, traits_.n_labels);
        } else {
            take(slot, 0, bert_->rows(slot), sequences[slot]->tokens.size(), traits_.n_dims);
        }
    }
}

void Encoder::run_passes(
    const std::vector<const TokenSequence*>& sequences, const TakeRows& take, const Stop& stop) {
    size_t n_tokens = 0;
    for (const TokenSequence* sequence : sequences) {
        n_tokens += sequence->n_own();
    }
    ensure_context(n_tokens + sequences.front()->n_shared);
    stop_ = stop;
    const size_t n_shared = copy_beginning(sequences, take);
    // After an exception nobody knows what the cache holds.
    Tokens kept = std::move(beginning_);
    beginning_.clear();
    run_spans(sequences, n_shared, n_tokens, take);
    if (n_shared > 0) {
        for (size_t slot = 0; slot < sequences.size(); ++slot) {
            llama_memory_seq_rm(llama_get_memory(context_.get()), static_cast<llama_seq_id>(slot), -1, -1);
        }
    }
    beginning_ = std::move(kept);
}

bool Encoder::shares_beginnings() {
    if (bert_ || n_batch_sequences_ < 2) {
        return false;
    }
    const WithoutLogits no_logits;
    ensure_context(1);
    return splits_sequences_ && !llama_model_is_recurrent(model_.get()) &&
           !llama_model_is_hybrid(model_.get());
}

// Empty the cache, except for the tokens with which these sequences begin, and let each sequence begin with
// them. Return their number.
size_t Encoder::copy_beginning(const std::vector<const TokenSequence*>& sequences, const TakeRows& take) {
    const llama_memory_t memory = llama_get_memory(context_.get());
    const size_t beginning_slot = n_batch_sequences_ - 1;
    const TokenSequence& first = *sequences.front();
    const auto end = first.tokens.begin() + static_cast<std::ptrdiff_t>(first.n_shared);
    Tokens wanted(first.tokens.begin(), end);
    if (memory && (wanted.empty() || wanted != beginning_)) {
        beginning_.clear();
        // The data may stay: cells that belong to no sequence are never read.
        llama_memory_clear(memory, false);
        for (size_t at = 0; at < wanted.size(); at += n_pass_tokens_) {
            run_pass({{&first, beginning_slot, at, std::min(n_pass_tokens_, wanted.size() - at)}}, take);
        }
        beginning_ = std::move(wanted);
    }
    for (size_t slot = 0; slot < sequences.size() && first.n_shared > 0; ++slot) {
        const auto id = static_cast<llama_seq_id>(slot);
        llama_memory_seq_cp(memory, static_cast<llama_seq_id>(beginning_slot), id, -1, -1);
    }
    return first.n_shared;
}

void Encoder::run_spans(
    const std::vector<const TokenSequence*>& sequences,
    size_t n_shared,
    size_t n_tokens,
    const TakeRows& take) {
    if (n_tokens <= n_pass_tokens_) {
        std::vector<Span> spans;
        spans.reserve(sequences.size());
        for (size_t slot = 0; slot < sequences.size(); ++slot) {
            spans.push_back({sequences[slot], slot, n_shared, sequences[slot]->n_own()});
        }
        run_pass(spans, take);
        return;
    }
    // Only a causal model gets here, with one sequence from the Packer; any number would be correct.
    for (size_t slot = 0; slot < sequences.size(); ++slot) {
        const size_t n = sequences[slot]->tokens.size();
        for (size_t first = n_shared; first < n; first += n_pass_tokens_) {
            run_pass({{sequences[slot], slot, first, std::min(n_pass_tokens_, n - first)}}, take);
        }
    }
}

void Encoder::ensure_context(size_t n_tokens) {
    if (context_ && n_tokens <= capacity_) {
        return;
    }
    const size_t grown = std::min(std::max(initial_capacity, 2 * capacity_), limit_);
    const size_t capacity = round_up(std::max({grown, batch_size_.largest(), n_tokens}), capacity_step);
    const size_t causal_pass = std::max(batch_size_.largest(), min_causal_pass_tokens);

    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(capacity);
    // Whether the model is causal is known only after its first context.
    params.n_batch = static_cast<uint32_t>(splits_sequences_ ? causal_pass : capacity);
    params.n_ubatch = params.n_batch; // non-causal attention cannot be split
    params.n_seq_max = static_cast<uint32_t>(n_batch_sequences_);
    params.kv_unified = true; // any sequence may take the whole context
    params.n_threads = options_.n_threads;
    params.n_threads_batch = options_.n_threads;
    params.pooling_type =
        traits_.pooling == LLAMA_POOLING_TYPE_RANK ? LLAMA_POOLING_TYPE_RANK : LLAMA_POOLING_TYPE_NONE;
    params.flash_attn_type = options_.flash_attn;
    params.offload_kqv = options_.offload_kqv;
    params.embeddings = true;
    params.abort_callback = [](void* data) {
        const auto* encoder = static_cast<const Encoder*>(data);
        return encoder->stop_ && encoder->stop_();
    };
    params.abort_callback_data = this;

    stop_ = nullptr; // the last job's end must not stop the creation of the context
    beginning_.clear();
    context_.reset(); // free the old context first, so that memory need not hold both
    capacity_ = 0;
    largest_pass_ = 0;
    const LogCapture log(/* swallow */ true); // llama.cpp warns about every pooling other than the file's
    context_.reset(llama_init_from_model(model_.get(), params));
    if (!context_) {
        const bool memory_ran_out = log.summary().find("alloc") != std::string::npos;
        throw Error(
            memory_ran_out ? ErrorKind::insufficient_memory : ErrorKind::engine_failed,
            "no context of " + std::to_string(capacity) + " tokens could be made for model " + traits_.name +
                ": " + log.summary() + "; set a smaller n_ctx");
    }
    if (!threads_) {
        threads_.emplace(ComputeThreads::for_reading(options_.n_threads));
    }
    threads_->attach(context_.get());
    capacity_ = capacity;
    splits_sequences_ = llama_get_memory(context_.get()) && llama_get_causal_attn(context_.get());
    n_pass_tokens_ = splits_sequences_ ? causal_pass : capacity;
    std::lock_guard<std::mutex> lock(memory_mutex_);
    memory_ = {};
    memory_.add(context_.get(), /* with_model */ false);
}

MemoryReport Encoder::memory() const {
    std::lock_guard<std::mutex> lock(memory_mutex_);
    MemoryReport report = memory_;
    if (bert_) {
        report.add_host(bert_->n_bytes(), 0, 0);
    }
    return report;
}

// llama.cpp keeps n_vocab logits and a vector for every token of a pass: 8 GB for a text of 8192 tokens and a
// multilingual vocabulary. It does not check the free memory, so the system could kill the process.
void Encoder::ensure_output_memory(size_t n_tokens) {
    if (n_tokens <= largest_pass_) {
        return;
    }
    const size_t n_bytes = n_tokens * (traits_.n_vocab + traits_.n_dims) * sizeof(float);
    if (n_bytes > unchecked_output_bytes && n_bytes > free_memory_bytes()) {
        throw Error(
            ErrorKind::insufficient_memory, "an input of " + std::to_string(n_tokens) + " tokens needs " +
                                                std::to_string(n_bytes >> 20) +
                                                " MiB for llama.cpp's outputs, more than is free; split the "
                                                "text, or use truncate=\"end\" with a "
                                                "smaller n_ctx");
    }
    largest_pass_ = n_tokens;
}

void Encoder::run_pass(const std::vector<Span>& spans, const TakeRows& take) {
    fill_batch(spans);
    n_computed += batch_.pos.size();
    ensure_output_memory(batch_.pos.size());

    llama_batch batch = batch_.view();
    const bool has_decoder_memory =
        llama_get_memory(context_.get()) && !llama_model_has_encoder(model_.get());
    check(has_decoder_memory ? llama_decode(context_.get(), batch) : llama_encode(context_.get(), batch));

    if (traits_.pooling == LLAMA_POOLING_TYPE_RANK) {
        for (const Span& span : spans) {
            if (span.first + span.n < span.sequence->tokens.size()) {
                continue; // the score comes with the last token
            }
            const float* labels =
                llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(span.slot));
            check(labels ? 0 : no_output);
            take(span.slot, 0, labels, 1, traits_.n_labels);
        }
        return;
    }
    const float* rows = llama_get_embeddings(context_.get());
    check(rows ? 0 : no_output);
    for (const Span& span : spans) {
        take(span.slot, span.first, rows, span.n, traits_.n_dims);
        rows += span.n * traits_.n_dims;
    }
}

uint64_t Encoder::n_tokens_of_process() {
    return n_computed;
}

void Encoder::fill_batch(const std::vector<Span>& spans) {
    const bool typed = typed_embeddings_ && std::any_of(spans.begin(), spans.end(), [](const Span& span) {
                           return span.sequence->sentence_b != SIZE_MAX;
                       });
    batch_.clear();
    for (const Span& span : spans) {
        for (size_t i = span.first; i < span.first + span.n; ++i) {
            const llama_token token = span.sequence->tokens[i];
            if (typed) {
                typed_embeddings_->append_row(token, i >= span.sequence->sentence_b, batch_.embd);
            } else {
                batch_.tokens.push_back(token);
            }
            batch_.pos.push_back(static_cast<llama_pos>(i));
            batch_.seq_ids.push_back(static_cast<llama_seq_id>(span.slot));
        }
    }
}

void Encoder::check(int status) const {
    if (status == 0) {
        return;
    }
    if (status == aborted) {
        throw Error(ErrorKind::request_cancelled, "the request was cancelled");
    }
    if (status == no_memory) {
        throw Error(
            ErrorKind::insufficient_memory,
            "llama.cpp could not allocate memory for a micro-batch of model " + traits_.name +
                "; set a smaller n_ctx, or split long texts");
    }
    throw Error(
        ErrorKind::engine_failed, "llama.cpp failed on a micro-batch of model " + traits_.name + " (status " +
                                      std::to_string(status) + "); its log says why");
}

} // namespace xlc
