#include "loading/lora_files.h"

#include "support/errors.h"
#include "support/logging.h"

#include "ggml.h"
#include "gguf.h"

#include <filesystem>
#include <map>
#include <memory>

namespace xlc {

namespace {

struct Free {
    void operator()(gguf_context* context) const { gguf_free(context); }
    void operator()(ggml_context* context) const { ggml_free(context); }
};

// A GGUF file's metadata and the shapes of its tensors.
class Head {
public:
    Head(std::string what, std::string path) : what_(std::move(what)), path_(std::move(path)) {
        std::error_code failed;
        if (!std::filesystem::is_regular_file(std::filesystem::u8path(path_), failed)) {
            throw Error(ErrorKind::model_not_found, "there is no " + what_ + " at '" + path_ + "'");
        }
        LogCapture capture;
        ggml_context* shapes = nullptr;
        metadata_.reset(gguf_init_from_file(path_.c_str(), {true, &shapes}));
        shapes_.reset(shapes);
        if (!metadata_) {
            refuse(
                "is not a GGUF file that can be read (" + capture.summary() + "); convert it with llama.cpp");
        }
    }

    [[noreturn]] void refuse(const std::string& reason) const {
        throw Error(ErrorKind::model_load, "the " + what_ + " '" + path_ + "' " + reason);
    }

    std::string text(const char* key) const {
        const int64_t id = gguf_find_key(metadata_.get(), key);
        return id >= 0 && gguf_get_kv_type(metadata_.get(), id) == GGUF_TYPE_STRING
                   ? gguf_get_val_str(metadata_.get(), id)
                   : "";
    }

    bool has_other_type(const char* key, gguf_type type) const {
        const int64_t id = gguf_find_key(metadata_.get(), key);
        return id >= 0 && gguf_get_kv_type(metadata_.get(), id) != type;
    }

    ggml_tensor* first() const { return ggml_get_first_tensor(shapes_.get()); }
    ggml_tensor* next(ggml_tensor* tensor) const { return ggml_get_next_tensor(shapes_.get(), tensor); }

private:
    const std::string what_;
    const std::string path_;
    std::unique_ptr<gguf_context, Free> metadata_;
    std::unique_ptr<ggml_context, Free> shapes_;
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void check_lora_kind(const Head& head, const ModelFile& model) {
    const std::string type = head.text("general.type");
    const std::string kind = head.text("adapter.type");
    if (type != "adapter" || kind != "lora") {
        head.refuse(
            "is not a LoRA adapter: its general.type is '" + type + "' and its adapter.type '" + kind +
            "'; convert one with llama.cpp's convert_lora_to_gguf.py");
    }
    const std::string architecture = head.text("general.architecture");
    if (architecture != model.architecture) {
        head.refuse(
            "was made for a model of architecture '" + architecture + "', but '" + model.path + "' has '" +
            model.architecture + "'; use the model that it was trained on");
    }
    if (head.has_other_type("adapter.lora.alpha", GGUF_TYPE_FLOAT32)) {
        head.refuse("has an adapter.lora.alpha that is not a float; convert it again");
    }
}

// llama.cpp compares the outer sizes with the model's when it loads, but the ranks of an embedding's pair
// only when it computes.
void check_lora_pairs(const Head& head) {
    std::map<std::string, int64_t> ranks_a;
    std::map<std::string, int64_t> ranks_b;
    for (ggml_tensor* tensor = head.first(); tensor != nullptr; tensor = head.next(tensor)) {
        const std::string name = tensor->name;
        const bool is_a = ends_with(name, ".lora_a");
        if (!is_a && !ends_with(name, ".lora_b")) {
            continue;
        }
        if (ggml_n_dims(tensor) > 2) {
            head.refuse("has a tensor '" + name + "' that is not a matrix");
        }
        const std::string weight = name.substr(0, name.size() - 7);
        const bool is_transposed = is_a && !ends_with(weight, "token_embd.weight");
        (is_a ? ranks_a : ranks_b)[weight] = tensor->ne[is_transposed ? 1 : 0];
    }
    if (ranks_a.empty() && ranks_b.empty()) {
        head.refuse("does not hold a pair of lora_a and lora_b");
    }
    for (const auto& [name, rank] : ranks_b) {
        if (ranks_a.count(name) == 0) {
            head.refuse("has lora_b but no lora_a for '" + name + "'");
        }
    }
    for (const auto& [name, rank] : ranks_a) {
        const auto other = ranks_b.find(name);
        if (other == ranks_b.end()) {
            head.refuse("has lora_a but no lora_b for '" + name + "'");
        }
        if (other->second != rank) {
            head.refuse(
                "has ranks that do not match for '" + name + "': " + std::to_string(rank) +
                " in lora_a and " + std::to_string(other->second) + " in lora_b");
        }
    }
}

void check_control_vector(const Head& head, const ModelFile& model) {
    constexpr const char* prefix = "direction.";
    for (ggml_tensor* tensor = head.first(); tensor != nullptr; tensor = head.next(tensor)) {
        const std::string name = tensor->name;
        const std::string number = name.compare(0, 10, prefix) == 0 ? name.substr(10) : "";
        if (number.empty() || number.size() > 6 ||
            number.find_first_not_of("0123456789") != std::string::npos) {
            head.refuse("has a tensor '" + name + "'; a control vector has 'direction.1', 'direction.2', …");
        }
        const int layer = std::stoi(number);
        if (layer < 1 || layer >= model.n_layer) {
            head.refuse(
                "has a direction for layer " + number + ", but the model allows layers 1 to " +
                std::to_string(model.n_layer - 1) + "; use one that was made for '" + model.path + "'");
        }
        if (tensor->type != GGML_TYPE_F32 || ggml_n_dims(tensor) != 1) {
            head.refuse("has a tensor '" + name + "' that is not a vector of 32-bit floats");
        }
        if (tensor->ne[0] != model.n_embd) {
            head.refuse(
                "has directions of " + std::to_string(tensor->ne[0]) + " numbers, but the model has n_embd=" +
                std::to_string(model.n_embd) + "; use one that was made for '" + model.path + "'");
        }
    }
    if (head.first() == nullptr) {
        head.refuse("does not hold any direction");
    }
}

} // namespace

void check_lora_files(const EngineParams& params, const ModelFile& model) {
    if (params.lora.empty() && params.control_vectors.empty() && params.mmproj.empty()) {
        return;
    }
    if (!model.causal) {
        throw Error(
            ErrorKind::unsupported_feature,
            "'" + params.model_name + "' is an encoder (" + model.architecture +
                "): LoRA adapters, control vectors and projectors work for models that generate");
    }
    for (const ScaledFile& file : params.lora) {
        const Head head("LoRA adapter", file.path);
        check_lora_kind(head, model);
        check_lora_pairs(head);
    }
    for (const ScaledFile& file : params.control_vectors) {
        check_control_vector(Head("control vector", file.path), model);
    }
}

} // namespace xlc
