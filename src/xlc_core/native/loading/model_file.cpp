#include "loading/model_file.h"

#include "support/errors.h"
#include "support/gguf_metadata.h"
#include "support/logging.h"

#include "llama-arch.h"
#include "llama.h"

#include <filesystem>

namespace xlc {

namespace {

std::string pooling_name(int64_t type) {
    switch (type) {
    case LLAMA_POOLING_TYPE_MEAN:
        return "mean";
    case LLAMA_POOLING_TYPE_CLS:
        return "cls";
    case LLAMA_POOLING_TYPE_LAST:
        return "last";
    case LLAMA_POOLING_TYPE_RANK:
        return "rank";
    case LLAMA_POOLING_TYPE_NONE:
        return "none";
    default:
        return "";
    }
}

} // namespace

ModelFile read_model_file(const std::string& path) {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(std::filesystem::u8path(path), failed)) {
        throw Error(ErrorKind::model_not_found, "there is no model file at '" + path + "'");
    }
    LogCapture capture;
    const GgufMetadata metadata(path);
    if (!metadata) {
        throw Error(
            ErrorKind::model_load,
            "'" + path + "' is not a GGUF file that can be read (" + capture.summary() +
                "); download it again or convert the model with llama.cpp's converter");
    }
    if (metadata.part() > 0) {
        throw Error(
            ErrorKind::model_load, "'" + path + "' is part " + std::to_string(metadata.part() + 1) + " of " +
                                       std::to_string(metadata.n_parts()) +
                                       " of a model that is split into several files; pass the first one");
    }
    if (const std::string fault = metadata.find_fault(); !fault.empty()) {
        throw Error(ErrorKind::model_load, "'" + path + "' cannot be loaded: it " + fault);
    }
    ModelFile file;
    file.path = path;
    for (const std::string& part : metadata.paths()) {
        const auto n_bytes = std::filesystem::file_size(std::filesystem::u8path(part), failed);
        file.file_bytes += failed ? 0 : static_cast<int64_t>(n_bytes);
    }
    file.architecture = metadata.text("general.architecture");
    for (const char* key : {"general.name", "general.basename"}) {
        if (metadata.has(key)) {
            file.names.push_back(metadata.text(key));
        }
    }
    for (const char* kind : {"query", "document"}) {
        const std::string key = std::string("xllama.prompt.") + kind;
        if (metadata.has(key)) {
            file.prompts[kind] = metadata.text(key);
        }
    }
    const std::string prefix = file.architecture + ".";
    file.pooling = pooling_name(metadata.number(prefix + "pooling_type", LLAMA_POOLING_TYPE_UNSPECIFIED));
    file.sees = metadata.flag("clip.has_vision_encoder", false);
    file.hears = metadata.flag("clip.has_audio_encoder", false);
    const llm_arch architecture = llm_arch_from_string(file.architecture);
    file.shares_cache = !llm_arch_is_recurrent(architecture) && !llm_arch_is_hybrid(architecture);
    file.n_window = metadata.number(prefix + "attention.sliding_window", 0);
    file.causal = metadata.flag(prefix + "attention.causal", true);
    file.chat_template = metadata.text("tokenizer.chat_template");
    file.has_rank_head = metadata.has_tensor("cls.weight") || metadata.has_tensor("cls.output.weight");
    file.n_ctx_train = metadata.number(prefix + "context_length", 0);
    file.n_layer = metadata.number(prefix + "block_count", 0);
    const int64_t n_head = metadata.number(prefix + "attention.head_count", 0);
    const int64_t n_head_kv = metadata.number(prefix + "attention.head_count_kv", n_head);
    file.n_embd = metadata.number(prefix + "embedding_length", 0);
    const int64_t head_size = n_head > 0 ? file.n_embd / n_head : 0;
    file.n_embd_k = n_head_kv * metadata.number(prefix + "attention.key_length", head_size);
    file.n_embd_v = n_head_kv * metadata.number(prefix + "attention.value_length", head_size);
    return file;
}

} // namespace xlc
