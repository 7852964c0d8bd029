#include "engine/engine.h"

#include "constraints/llg_tokenizer.h"
#include "generation/load_checks.h"
#include "generation/prompt_reader.h"
#include "loading/loading_errors.h"
#include "loading/lora_files.h"
#include "retrieval/bert/bert_weights.h"
#include "support/errors.h"
#include "support/logging.h"

#include "common.h"
#include "llama.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace xlc {

namespace {

// A model is made for retrieval if its file names a pooling or it cannot generate. But with a projector the
// generation worker is needed, because it reads images, for embedding too.
bool is_for_retrieval(const ModelFile& file, const EngineParams& params) {
    const std::string& pooling = params.pooling.empty() ? file.pooling : params.pooling;
    return !file.causal || (params.mmproj.empty() && !pooling.empty() && pooling != "none");
}

bool runs_own_encoder(const ModelFile& file, const EngineParams& params) {
    return params.encoder == "auto" && BertWeights::knows(file.architecture);
}

// Our kernels multiply the weights of the file faster than llama.cpp multiplies those of its own layouts.
EngineParams with_layout(EngineParams params) {
    params.keeps_file_layout = best_kernels() != nullptr;
    return params;
}

// Otherwise the threads' malloc arenas would keep the memory of the model's buffers.
void give_memory_back() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

struct LoadProgress {
    const Generator::Progress& report;
    bool cancelled = false;
};

} // namespace

Engine::Engine(const EngineParams& params, const Generator::Progress& progress)
    : file_(read_model_file(params.model_path)), params_(with_layout(params)) {
    check_lora_files(params_, file_);
    load(progress);
    awake_ = true;
    if (params_.sleep_after > 0) {
        watcher_ = Thread([this] { watch(); });
    }
}

Engine::~Engine() {
    close();
}

void Engine::load(const Generator::Progress& progress) {
    reading_file(params_.model_path, [&] {
        try {
            load_worker(progress);
        } catch (...) {
            unload(); // a part of it may be there
            throw;
        }
    });
}

void Engine::load_worker(const Generator::Progress& progress) {
    const AssertionWatch watch;
    if (is_for_retrieval(file_, params_)) {
        load_for_retrieval(progress);
        if (params_.warmup) {
            load_retriever(); // also prepares the weights
        }
    } else {
        load_for_generation(progress);
    }
    check_assertions(watch, params_.model_path);
}

void Engine::unload() {
    retriever_.reset(); // before the model that it uses
    generator_.reset();
    retrieval_model_.reset();
    give_memory_back();
}

void Engine::load_for_generation(const Generator::Progress& progress) {
    generator_ = std::make_shared<Generator>(params_, progress);
}

// llama.cpp's server cannot be given another context for a loaded model, so a new generator loads the weights
// again. A retriever that uses the old ones keeps them until its work is done.
void Engine::drop_failed_generator() {
    if (!generator_ || !generator_->failed()) {
        return;
    }
    if (retriever_ && retriever_borrows_ && retriever_.use_count() == 1 && retriever_->idle()) {
        retriever_.reset();
    }
    retriever_borrows_ = false;
    generator_.reset();
    give_memory_back();
}

void Engine::load_for_retrieval(const Generator::Progress& progress) {
    common_params common = to_common_params(params_);
    if (runs_own_encoder(file_, params_)) {
        common.no_extra_bufts =
            true; // otherwise llama.cpp changes the layout of weights, and we cannot read it
    }
    LoadProgress state{progress};
    common.load_progress_callback_user_data = &state;
    common.load_progress_callback = [](float done, void* data) {
        auto& self = *static_cast<LoadProgress*>(data);
        self.cancelled = self.report && !self.report(done);
        return !self.cancelled;
    };
    LogCapture capture;
    std::shared_ptr<common_init_result> loaded = common_init_from_params(common, /* model_only */ true);
    if (state.cancelled) {
        throw Error(ErrorKind::request_cancelled, "loading '" + params_.model_name + "' was cancelled");
    }
    if (!loaded || !loaded->model()) {
        throw_load_error(params_, capture.summary(), /* generates */ false);
    }
    retrieval_model_ = std::shared_ptr<llama_model>(loaded->model(), [loaded](llama_model* model) {
        TokenizerRegistry::forget(llama_model_get_vocab(model)); // before another model can get the address
    });
}

void Engine::check_open() const {
    if (closed_) {
        throw Error(ErrorKind::engine_closed, "the engine is closed; open another one");
    }
}

std::shared_ptr<Generator> Engine::generator() {
    std::lock_guard<std::mutex> lock(mutex_);
    check_open();
    if (!file_.causal) {
        throw Error(
            ErrorKind::unsupported_feature,
            "'" + params_.model_name + "' is an encoder (" + file_.architecture +
                ") and cannot generate text; use embed() or rerank() with it, or open a chat model");
    }
    wake();
    drop_failed_generator();
    if (!generator_) {
        reading_file(params_.model_path, [this] {
            const AssertionWatch watch;
            load_for_generation({});
            check_assertions(watch, params_.model_path);
        });
    }
    return generator_;
}

std::shared_ptr<Retriever> Engine::retriever() {
    std::lock_guard<std::mutex> lock(mutex_);
    check_open();
    wake();
    load_retriever();
    return retriever_;
}

void Engine::load_retriever() {
    if (retriever_) {
        return;
    }
    const common_params common = to_common_params(params_);
    RetrieverOptions options;
    options.n_threads = params_.n_threads_batch;
    options.n_ctx = params_.n_ctx_retrieval;
    options.n_batch_tokens = params_.n_batch_retrieval;
    options.pooling = common.pooling_type;
    options.flash_attn = common.flash_attn_type;
    options.own_kernels = params_.encoder == "auto";
    retriever_borrows_ = generator_ != nullptr;
    retriever_ =
        reading_file(params_.model_path, [&] { return std::make_shared<Retriever>(model(), options); });
}

std::shared_ptr<llama_model> Engine::model() const {
    return generator_ ? std::shared_ptr<llama_model>(generator_, generator_->model()) : retrieval_model_;
}

std::shared_ptr<llama_model> Engine::open_model() {
    std::lock_guard<std::mutex> lock(mutex_);
    check_open();
    wake();
    return model();
}

LoadedModelInfo Engine::info() {
    std::lock_guard<std::mutex> lock(mutex_);
    check_open();
    wake();
    const std::shared_ptr<llama_model> loaded = model();
    LoadedModelInfo info;
    char description[256] = "";
    llama_model_desc(loaded.get(), description, sizeof(description));
    info.description = description;
    info.n_params = llama_model_n_params(loaded.get());
    info.size_bytes = llama_model_size(loaded.get());
    info.n_ctx_train = llama_model_n_ctx_train(loaded.get());
    info.n_embd = llama_model_n_embd(loaded.get());
    info.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(loaded.get()));
    info.decides = !decision_kind(loaded.get()).empty();
    info.n_ctx = generator_ ? generator_->n_ctx_per_request() : info.n_ctx_train;
    if (generator_) {
        info.n_ctx_total = generator_->n_ctx_total();
        info.n_parallel = generator_->params().n_parallel;
        info.supports_tools = generator_->supports_tools();
        info.supports_thinking = generator_->supports_thinking();
        info.reads_images = generator_->reads_media("image");
        info.reads_audio = generator_->reads_media("audio");
        info.reads_video = generator_->reads_media("video");
    }
    return info;
}

std::vector<int32_t>
Engine::tokenize(const std::string& text, bool add_special, bool parse_special, const Poll& poll) {
    const std::shared_ptr<llama_model> loaded = open_model();
    if (text.size() <= short_text) {
        return common_tokenize(llama_model_get_vocab(loaded.get()), text, add_special, parse_special);
    }
    check_tokenizable(text);
    const auto owned = std::make_shared<const std::string>(text);
    const auto tokens = std::make_shared<std::vector<int32_t>>();
    background_.run(
        [loaded, owned, tokens, add_special, parse_special] {
            *tokens =
                common_tokenize(llama_model_get_vocab(loaded.get()), *owned, add_special, parse_special);
        },
        [&] {
            check_open();
            poll();
        });
    return std::move(*tokens);
}

std::string Engine::detokenize(const std::vector<int32_t>& tokens, bool special) {
    const std::shared_ptr<llama_model> loaded = open_model();
    const llama_vocab* vocab = llama_model_get_vocab(loaded.get());
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    for (const int32_t token : tokens) {
        if (token < 0 || token >= n_vocab) {
            throw Error(
                ErrorKind::invalid_request, "there is no token " + std::to_string(token) +
                                                ", the vocabulary has tokens 0 to " +
                                                std::to_string(n_vocab - 1));
        }
    }
    return common_detokenize(vocab, tokens, special);
}

void Engine::close() {
    std::lock_guard<std::mutex> close_lock(close_mutex_);
    std::shared_ptr<Generator> generator;
    std::shared_ptr<Retriever> retriever;
    std::shared_ptr<llama_model> model;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
        generator.swap(generator_);
        retriever.swap(retriever_);
        model.swap(retrieval_model_);
    }
    background_.finish();
    watched_.notify_all();
    if (watcher_.joinable()) {
        watcher_.join();
    }
    if (generator) {
        generator->close(); // ends requests now, even if others still hold the generator
    }
    if (retriever) {
        retriever->close();
    }
    retriever.reset(); // before the model that it uses
    generator.reset();
    model.reset();
    give_memory_back();
}

MemoryEstimate estimate_engine_memory(const EngineParams& params) {
    const ModelFile file = read_model_file(params.model_path);
    const EngineParams wanted = with_layout(params);
    return reading_file(params.model_path, [&] {
        return is_for_retrieval(file, wanted) ? estimate_retrieval(wanted, runs_own_encoder(file, wanted))
                                              : estimate_generation(wanted);
    });
}

bool Engine::closed() const {
    return closed_;
}

} // namespace xlc
