#include "retrieval/retrieval_traits.h"

#include "support/errors.h"
#include "support/logging.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

// llama.cpp keeps this function for its tools. It is declared here because its header, src/llama-model.h, is
// internal.
const std::vector<std::pair<std::string, ggml_tensor*>>&
llama_internal_get_tensor_map(const llama_model* model);

namespace xlc {

namespace {

// A ranking head ends in cls.output, or in a cls with one output (jina-reranker-v1). If there is only a
// cls.weight with another shape, it is the dense layer of a masked language model.
const ggml_tensor* find_ranking_head(const llama_model* model) {
    if (const ggml_tensor* output = find_tensor(model, "cls.output.weight")) {
        return output;
    }
    const ggml_tensor* dense = find_tensor(model, "cls.weight");
    return dense && dense->ne[1] == 1 ? dense : nullptr;
}

// A reranker with the labels "yes" and "no" outputs both; the score is the output for "yes".
size_t find_score_index(const llama_model* model, size_t n_labels) {
    for (uint32_t i = 0; i < n_labels; ++i) {
        const char* label = llama_model_cls_label(model, i);
        if (label && std::strcmp(label, "yes") == 0) {
            return i;
        }
    }
    return n_labels == 1 ? 0 : SIZE_MAX;
}

std::vector<float> read_row(const ggml_tensor* tensor, int64_t row) {
    const auto n = static_cast<size_t>(tensor->ne[0]);
    std::vector<uint8_t> bytes(ggml_row_size(tensor->type, tensor->ne[0]));
    ggml_backend_tensor_get(tensor, bytes.data(), static_cast<size_t>(row) * tensor->nb[1], bytes.size());
    std::vector<float> values(n);
    if (tensor->type == GGML_TYPE_F32) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
    } else {
        ggml_get_type_traits(tensor->type)->to_float(bytes.data(), values.data(), tensor->ne[0]);
    }
    return values;
}

} // namespace

const std::vector<std::pair<std::string, ggml_tensor*>>& tensors_of(const llama_model* model) {
    return llama_internal_get_tensor_map(model);
}

std::string metadata(const llama_model* model, const std::string& key) {
    char value[256];
    return llama_model_meta_val_str(model, key.c_str(), value, sizeof(value)) >= 0 ? value : "";
}

bool can_read(const ggml_tensor* tensor) {
    return tensor->type == GGML_TYPE_F32 || ggml_get_type_traits(tensor->type)->to_float != nullptr;
}

const ggml_tensor* find_tensor(const llama_model* model, const std::string& name) {
    for (const auto& [tensor_name, tensor] : tensors_of(model)) {
        if (tensor_name == name) {
            return tensor;
        }
    }
    return nullptr;
}

bool uses_gpu(const llama_model* model) {
    for (const auto& [name, tensor] : tensors_of(model)) {
        if (!tensor->buffer) {
            continue;
        }
        ggml_backend_dev_t device =
            ggml_backend_buft_get_device(ggml_backend_buffer_get_type(tensor->buffer));
        if (!device) {
            continue;
        }
        const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            return true;
        }
    }
    return false;
}

RetrievalTraits::RetrievalTraits(const llama_model* model, enum llama_pooling_type wanted_pooling) {
    architecture = metadata(model, "general.architecture");
    name = metadata(model, "general.name");
    if (name.empty()) {
        name = architecture;
    }
    n_dims = static_cast<size_t>(llama_model_n_embd_out(model));
    n_vocab = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    on_gpu = uses_gpu(model);

    const ggml_tensor* positions = find_tensor(model, "position_embd.weight");
    n_positions = positions ? static_cast<size_t>(positions->ne[1]) : SIZE_MAX;

    const ggml_tensor* head = find_ranking_head(model);
    has_ranking_head = head != nullptr;
    n_labels = head ? static_cast<size_t>(head->ne[1]) : 0;
    score_index = find_score_index(model, n_labels);
    scores_are_probabilities = has_ranking_head && (architecture == "qwen3" || architecture == "qwen3vl");

    pooling = wanted_pooling;
    if (pooling == LLAMA_POOLING_TYPE_UNSPECIFIED) {
        const std::string in_file = metadata(model, architecture + ".pooling_type");
        // A reranker's file may omit the pooling. If an embedder's file omits it, we pool like
        // sentence-transformers.
        pooling = has_ranking_head ? LLAMA_POOLING_TYPE_RANK
                  : in_file.empty() || in_file == "0"
                      ? LLAMA_POOLING_TYPE_MEAN
                      : static_cast<enum llama_pooling_type>(std::stoi(in_file));
    }

    // These architectures' heads have a pooler before the output layer. A file that lost the pooler lacks
    // this tensor.
    const char* missing = architecture == "bert"           ? "cls.weight"
                          : architecture == "jina-bert-v2" ? "cls.output.weight"
                                                           : nullptr;
    if (pooling == LLAMA_POOLING_TYPE_RANK && has_ranking_head && missing && !find_tensor(model, missing)) {
        log_warning(
            "reranker " + name +
            " has lost its pooler, which llama.cpp's converter drops, and its scores are off without it; "
            "convert the original model again with `xllama models convert`, which keeps it");
    }
}

void RetrievalTraits::require_embedding() const {
    if (pooling == LLAMA_POOLING_TYPE_RANK && !has_ranking_head) {
        throw Error(
            ErrorKind::unsupported_feature,
            "the engine was opened with pooling=\"rank\", but model " + name +
                " has no ranking head; open it without `pooling`, or with \"mean\", \"cls\" or \"last\", to "
                "embed");
    }
    if (pooling == LLAMA_POOLING_TYPE_RANK) {
        throw Error(
            ErrorKind::unsupported_feature,
            "model " + name +
                " is a reranker and gives no embeddings; use rerank(), or open an embedding model");
    }
}

void RetrievalTraits::require_pooling() const {
    require_embedding();
    if (pooling == LLAMA_POOLING_TYPE_NONE) {
        throw Error(
            ErrorKind::unsupported_feature, "the engine was opened with pooling=\"none\", which gives one "
                                            "vector per token; use embed_tokens(), or "
                                            "open it with pooling=\"mean\"");
    }
}

void RetrievalTraits::require_ranking() const {
    if (!has_ranking_head) {
        throw Error(
            ErrorKind::unsupported_feature, "model " + name +
                                                " has no ranking head; use rerank_documents() of "
                                                "xlc_core.reranking with method=\"late-interaction\" (or "
                                                "\"generative\" for a chat model), or a reranker such as "
                                                "bge-reranker-v2-m3 whose file was made with its classifier");
    }
    if (pooling != LLAMA_POOLING_TYPE_RANK) {
        throw Error(
            ErrorKind::unsupported_feature,
            "the engine was opened with another pooling than model " + name +
                " has; open it without `pooling`, or with pooling=\"rank\", to rerank");
    }
    if (scores_are_probabilities && n_labels == 1) {
        throw Error(
            ErrorKind::unsupported_feature,
            "model " + name +
                " has one label, and llama.cpp gives every document the score 1 for models of its kind, "
                "because it turns the labels into probabilities; use a reranker with the labels \"yes\" and "
                "\"no\", such as Qwen3-Reranker, or one of another architecture");
    }
    if (score_index >= n_labels) {
        throw Error(
            ErrorKind::unsupported_feature,
            "model " + name + " is a classifier with " + std::to_string(n_labels) +
                " labels; a reranker has one output, or the labels \"yes\" and \"no\"");
    }
}

std::unique_ptr<TypedEmbeddings> TypedEmbeddings::of(const llama_model* model) {
    const ggml_tensor* tokens = find_tensor(model, "token_embd.weight");
    const ggml_tensor* types = find_tensor(model, "token_types.weight");
    // Only models with a WordPiece tokenizer distinguish sentences. Others may have the table of types but
    // were trained with the first type only.
    const bool typed = llama_vocab_type(llama_model_get_vocab(model)) == LLAMA_VOCAB_TYPE_WPM;
    if (!typed || !tokens || !types || types->ne[1] < 2 || !can_read(tokens) || !can_read(types)) {
        return nullptr;
    }
    return std::unique_ptr<TypedEmbeddings>(new TypedEmbeddings(tokens, types));
}

TypedEmbeddings::TypedEmbeddings(const ggml_tensor* tokens, const ggml_tensor* types)
    : tokens_(tokens), b_minus_a_(read_row(types, 1)) {
    const std::vector<float> a = read_row(types, 0);
    std::transform(b_minus_a_.begin(), b_minus_a_.end(), a.begin(), b_minus_a_.begin(), std::minus<float>());
}

void TypedEmbeddings::append_row(llama_token token, bool sentence_b, std::vector<float>& rows) const {
    std::vector<float> row = read_row(tokens_, token);
    if (sentence_b) {
        std::transform(row.begin(), row.end(), b_minus_a_.begin(), row.begin(), std::plus<float>());
    }
    rows.insert(rows.end(), row.begin(), row.end());
}

} // namespace xlc
