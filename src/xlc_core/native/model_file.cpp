#include "model_file.h"

#include "errors.h"
#include "logging.h"

#include "gguf.h"
#include "llama.h"

#include <filesystem>
#include <memory>

namespace xlc {

namespace {

struct GgufDeleter {
    void operator()(gguf_context* context) const { gguf_free(context); }
};

class Metadata {
public:
    explicit Metadata(const std::string& path)
        : context_(gguf_init_from_file(path.c_str(), {true, nullptr})) {}

    explicit operator bool() const { return context_ != nullptr; }

    std::string text(const std::string& key) const {
        const int64_t id = find(key);
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_STRING
                   ? gguf_get_val_str(context_.get(), id)
                   : "";
    }

    // Some files give one number per layer: then the largest.
    int64_t number(const std::string& key, int64_t fallback) const {
        const int64_t id = find(key);
        if (id < 0) {
            return fallback;
        }
        switch (gguf_get_kv_type(context_.get(), id)) {
        case GGUF_TYPE_UINT32:
            return gguf_get_val_u32(context_.get(), id);
        case GGUF_TYPE_INT32:
            return gguf_get_val_i32(context_.get(), id);
        case GGUF_TYPE_UINT64:
            return static_cast<int64_t>(gguf_get_val_u64(context_.get(), id));
        case GGUF_TYPE_ARRAY:
            return largest(id, fallback);
        default:
            return fallback;
        }
    }

    bool flag(const std::string& key, bool fallback) const {
        const int64_t id = find(key);
        return id >= 0 && gguf_get_kv_type(context_.get(), id) == GGUF_TYPE_BOOL
                   ? gguf_get_val_bool(context_.get(), id)
                   : fallback;
    }

    bool has(const std::string& key) const { return find(key) >= 0; }
    bool has_tensor(const char* name) const { return gguf_find_tensor(context_.get(), name) >= 0; }

private:
    int64_t find(const std::string& key) const { return gguf_find_key(context_.get(), key.c_str()); }

    int64_t largest(int64_t id, int64_t fallback) const {
        const gguf_type type = gguf_get_arr_type(context_.get(), id);
        if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32) {
            return fallback;
        }
        const auto* values = static_cast<const int32_t*>(gguf_get_arr_data(context_.get(), id));
        int64_t best = 0;
        for (size_t i = 0; i < gguf_get_arr_n(context_.get(), id); i++) {
            best = std::max<int64_t>(best, values[i]);
        }
        return best;
    }

    std::unique_ptr<gguf_context, GgufDeleter> context_;
};

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
    const Metadata metadata(path);
    if (!metadata) {
        throw Error(
            ErrorKind::model_load,
            "'" + path + "' is not a GGUF file that can be read (" + capture.summary() +
                "); download it again or convert the model with llama.cpp's converter");
    }
    ModelFile file;
    file.path = path;
    file.file_bytes = static_cast<int64_t>(std::filesystem::file_size(std::filesystem::u8path(path), failed));
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
    file.causal = metadata.flag(prefix + "attention.causal", true);
    file.has_chat_template = metadata.has("tokenizer.chat_template");
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
