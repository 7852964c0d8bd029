#include "retrieval/bert/bert_weights.h"

#include "retrieval/model_facts.h"
#include "retrieval/parallel.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>

namespace xlc {

namespace {

// Finds tensors by name and remembers which it gave, so that a model with others is known to be of another
// kind.
class TensorFinder {
public:
    explicit TensorFinder(const llama_model* model) : model_(model) {}

    const ggml_tensor* optional(const std::string& name) {
        const ggml_tensor* tensor = find_tensor(model_, name);
        if (tensor) {
            given_.insert(name);
            const bool on_host =
                tensor->data && (!tensor->buffer || ggml_backend_buffer_is_host(tensor->buffer));
            readable_ = readable_ && on_host && can_read(tensor);
        }
        return tensor;
    }

    const ggml_tensor* required(const std::string& name) {
        const ggml_tensor* tensor = optional(name);
        complete_ = complete_ && tensor;
        return tensor;
    }

    // Whether all that was required was there, can be read, and was all there is.
    bool satisfied() const { return complete_ && readable_ && given_.size() == tensors_of(model_).size(); }

private:
    const llama_model* model_;
    std::set<std::string> given_;
    bool complete_ = true;
    bool readable_ = true;
};

struct LayerTensors {
    std::vector<const ggml_tensor*> qkv, qkv_bias;
    const ggml_tensor *out, *out_bias, *norm, *norm_bias;
    std::vector<const ggml_tensor*> up, up_bias;
    const ggml_tensor *down, *down_bias, *out_norm, *out_norm_bias;
};

LayerTensors find_layer(TensorFinder& tensors, int index, bool gated) {
    const std::string prefix = "blk." + std::to_string(index) + ".";
    const auto required = [&](const char* name) { return tensors.required(prefix + name); };
    const auto optional = [&](const char* name) { return tensors.optional(prefix + name); };
    LayerTensors layer{};
    if (const ggml_tensor* fused = optional("attn_qkv.weight")) {
        layer.qkv = {fused};
        layer.qkv_bias = {optional("attn_qkv.bias")};
    } else {
        layer.qkv = {required("attn_q.weight"), required("attn_k.weight"), required("attn_v.weight")};
        layer.qkv_bias = {optional("attn_q.bias"), optional("attn_k.bias"), optional("attn_v.bias")};
    }
    layer.out = required("attn_output.weight");
    layer.out_bias = optional("attn_output.bias");
    layer.norm = required("attn_output_norm.weight");
    layer.norm_bias = required("attn_output_norm.bias");
    if (gated) {
        layer.up = {required("ffn_gate.weight")};
        layer.up_bias = {nullptr};
    }
    layer.up.push_back(required("ffn_up.weight"));
    layer.up_bias.push_back(optional("ffn_up.bias"));
    layer.down = required("ffn_down.weight");
    layer.down_bias = optional("ffn_down.bias");
    layer.out_norm = required("layer_output_norm.weight");
    layer.out_norm_bias = required("layer_output_norm.bias");
    return layer;
}

LayerNorm read_norm(const ggml_tensor* weight, const ggml_tensor* bias) {
    return {read_values(weight), read_values(bias)};
}

float to_float(const std::string& text) {
    return std::strtof(text.c_str(), nullptr);
}

// llama.cpp gives numbers of the file with six decimals, so that BERT's 1e-12 is 0.
constexpr float least_epsilon = 1e-12F;

// Whether positions are turned as the model was trained, and all of a head is.
bool has_plain_rotations(const llama_model* model) {
    const std::string scaling = metadata(model, "nomic-bert.rope.scaling.type");
    const std::string n_dims = metadata(model, "nomic-bert.rope.dimension_count");
    return (scaling.empty() || scaling == "none") && n_dims.empty() &&
           llama_model_rope_freq_scale_train(model) == 1.0F;
}

// RoPE (Su et al., 2021, arXiv 2104.09864): pair i of a head is turned by position · base^(−2i / head_dim).
std::vector<float> rotations_of(const llama_model* model, size_t head_dim) {
    const std::string base = metadata(model, "nomic-bert.rope.freq_base");
    std::vector<float> rotations(head_dim / 2);
    for (size_t i = 0; i < rotations.size(); ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
        rotations[i] = static_cast<float>(std::pow(base.empty() ? 10000.0 : to_float(base), exponent));
    }
    return rotations;
}

} // namespace

bool BertWeights::knows(const std::string& architecture) {
    return best_encoder_kernels() && (architecture == "bert" || architecture == "nomic-bert");
}

std::unique_ptr<const BertWeights> BertWeights::of(const llama_model* model, int n_threads) {
    const std::string architecture = metadata(model, "general.architecture");
    if (!knows(architecture)) {
        return nullptr;
    }
    const EncoderKernels* kernels = best_encoder_kernels();
    const bool nomic = architecture == "nomic-bert";
    TensorFinder tensors(model);
    const ggml_tensor* token_embeddings = tensors.required("token_embd.weight");
    const ggml_tensor* positions = nomic ? nullptr : tensors.required("position_embd.weight");
    const ggml_tensor* types = tensors.optional("token_types.weight");
    const ggml_tensor* norm = tensors.required("token_embd_norm.weight");
    const ggml_tensor* norm_bias = tensors.required("token_embd_norm.bias");
    const ggml_tensor* pooler = tensors.optional("cls.weight");
    const ggml_tensor* pooler_bias = tensors.optional("cls.bias");
    const ggml_tensor* output = tensors.optional("cls.output.weight");
    const ggml_tensor* output_bias = tensors.optional("cls.output.bias");
    std::vector<LayerTensors> found;
    for (int i = 0; i < llama_model_n_layer(model); ++i) {
        found.push_back(find_layer(tensors, i, nomic));
    }
    const int n_heads = llama_model_n_head(model);
    if (!tensors.satisfied() || llama_model_n_head_kv(model) != n_heads || found.empty() ||
        token_embeddings->ne[0] % n_heads != 0) {
        return nullptr;
    }

    if (nomic && (!has_plain_rotations(model) || found.front().down->ne[0] % row_padding != 0)) {
        return nullptr;
    }

    auto weights = std::make_unique<BertWeights>();
    weights->kernels = kernels;
    weights->n_embd = static_cast<size_t>(token_embeddings->ne[0]);
    weights->n_heads = static_cast<size_t>(n_heads);
    weights->n_ff = static_cast<size_t>(found.front().down->ne[0]);
    weights->gated = nomic;
    weights->norm_epsilon =
        std::max(least_epsilon, to_float(metadata(model, architecture + ".attention.layer_norm_epsilon")));
    weights->token_embeddings = token_embeddings;
    if (positions) {
        weights->position_embeddings = read_values(positions);
    }
    if (nomic) {
        weights->rotations = rotations_of(model, weights->n_embd / weights->n_heads);
    }
    if (types) {
        weights->type_embeddings = read_values(types);
    }
    weights->embedding_norm = read_norm(norm, norm_bias);
    if (pooler) {
        weights->pooler = read_values(pooler);
        weights->pooler_bias = pooler_bias ? read_values(pooler_bias) : std::vector<float>(pooler->ne[1]);
    }
    if (output) {
        weights->n_labels = static_cast<size_t>(output->ne[1]);
        weights->output = read_values(output);
        weights->output_bias = output_bias ? read_values(output_bias) : std::vector<float>(output->ne[1]);
    }

    std::vector<std::optional<BertLayer>> layers(found.size());
    parallel_for(found.size(), n_threads, [&](size_t i) {
        const LayerTensors& layer = found[i];
        const size_t width = kernels->panel_width;
        layers[i] = BertLayer{
            PackedMatrix(layer.qkv, layer.qkv_bias, width),
            PackedMatrix({layer.out}, {layer.out_bias}, width),
            read_norm(layer.norm, layer.norm_bias),
            PackedMatrix(layer.up, layer.up_bias, width),
            PackedMatrix({layer.down}, {layer.down_bias}, width),
            read_norm(layer.out_norm, layer.out_norm_bias)};
    });
    for (std::optional<BertLayer>& layer : layers) {
        weights->layers.push_back(std::move(*layer));
    }
    return weights;
}

} // namespace xlc
