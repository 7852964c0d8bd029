#include "retrieval/bert/bert_weights.h"

#include "retrieval/bert/tensor_finder.h"
#include "retrieval/parallel.h"
#include "support/errors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

namespace xlc {

namespace {

using Tensors = std::vector<const ggml_tensor*>;

struct LayerTensors {
    Tensors qkv, qkv_bias;
    const ggml_tensor *out, *out_bias, *norm, *norm_bias;
    Tensors up, up_bias;
    const ggml_tensor *down, *down_bias, *feed_forward_norm, *feed_forward_norm_bias;
};

// Return the numbers between a layer's two feed-forward matrices; all layers must have as many.
int64_t feed_forward_size(const llama_model* model) {
    const ggml_tensor* down = find_tensor(model, "blk.0.ffn_down.weight");
    return down ? down->ne[0] : 0;
}

// The metadata that decides how the layers are computed.
struct Shape {
    explicit Shape(const llama_model* described)
        : model(described), architecture(metadata(described, "general.architecture")) {}

    const llama_model* model;
    std::string architecture;
    bool is_nomic = architecture == "nomic-bert";
    bool is_modern = architecture == "modern-bert";
    bool is_jina = architecture == "jina-bert-v2";
    int64_t n_embd = llama_model_n_embd(model);
    int64_t n_ff = feed_forward_size(model);
    // A gate is a matrix of its own, or the first half of the other one.
    bool has_gate_matrix = is_nomic || (is_jina && find_tensor(model, "blk.0.ffn_gate.weight"));
    bool has_gate_inside =
        is_modern || (is_jina && !has_gate_matrix && n_ff > 0 && rows_of("blk.0.ffn_up.weight") == 2 * n_ff);

    int64_t rows_of(const char* name) const {
        const ggml_tensor* tensor = find_tensor(model, name);
        return tensor ? tensor->ne[1] : 0;
    }
    std::string value(const char* key) const { return metadata(model, architecture + "." + key); }
    float number(const char* key, float otherwise) const {
        const std::string text = value(key);
        return text.empty() ? otherwise : std::strtof(text.c_str(), nullptr);
    }
    // Return a number that cannot be negative; any other, such as NaN, is 0.
    int64_t count(const char* key, int64_t otherwise) const {
        const float value = number(key, static_cast<float>(otherwise));
        return value > 0.0F ? static_cast<int64_t>(std::min(value, 1e9F)) : 0;
    }
    // One layer of every `every` attends to the whole text, the others to neighbouring tokens. Zero-based.
    bool is_local(int64_t layer) const {
        const int64_t every = count("attention.sliding_window_pattern", 3);
        return is_modern && window() > 0 && every > 0 && layer % every != 0;
    }
    size_t window() const { return static_cast<size_t>(count("attention.sliding_window", 0)); }
};

LayerTensors find_layer(TensorFinder& tensors, int index, const Shape& shape) {
    const std::string prefix = "blk." + std::to_string(index) + ".";
    using Sizes = TensorFinder::Sizes;
    const auto required = [&](const char* name, const Sizes& sizes) {
        return tensors.required(prefix + name, sizes);
    };
    const auto optional = [&](const char* name, const Sizes& sizes) {
        return tensors.optional(prefix + name, sizes);
    };
    const int64_t n = shape.n_embd;
    const int64_t n_up = shape.has_gate_inside ? 2 * shape.n_ff : shape.n_ff;
    const Sizes row{n};
    const Sizes square{n, n};
    LayerTensors layer{};
    if (const ggml_tensor* fused = optional("attn_qkv.weight", {n, 3 * n})) {
        layer.qkv = {fused};
        layer.qkv_bias = {optional("attn_qkv.bias", {3 * n})};
    } else {
        layer.qkv = {
            required("attn_q.weight", square), required("attn_k.weight", square),
            required("attn_v.weight", square)};
        layer.qkv_bias = {
            optional("attn_q.bias", row), optional("attn_k.bias", row), optional("attn_v.bias", row)};
    }
    layer.out = required("attn_output.weight", square);
    layer.out_bias = optional("attn_output.bias", row);
    if (shape.has_gate_matrix) {
        layer.up = {required("ffn_gate.weight", {n, n_up})};
        layer.up_bias = {nullptr};
    }
    layer.up.push_back(required("ffn_up.weight", {n, n_up}));
    layer.up_bias.push_back(optional("ffn_up.bias", {n_up}));
    layer.down = required("ffn_down.weight", {shape.n_ff, n});
    layer.down_bias = optional("ffn_down.bias", row);
    if (shape.is_modern) {
        layer.norm = optional("attn_norm.weight", row); // missing in the first layer: its input is normalised
        layer.feed_forward_norm = required("ffn_norm.weight", row);
    } else {
        layer.norm = required("attn_output_norm.weight", row);
        layer.norm_bias = required("attn_output_norm.bias", row);
        layer.feed_forward_norm = required("layer_output_norm.weight", row);
        layer.feed_forward_norm_bias = required("layer_output_norm.bias", row);
    }
    return layer;
}

// Return an empty vector for nullptr.
std::vector<float> read_optional(const ggml_tensor* tensor) {
    return tensor ? read_values(tensor) : std::vector<float>();
}

LayerNorm read_norm(const ggml_tensor* weight, const ggml_tensor* bias) {
    LayerNorm norm{read_optional(weight), read_optional(bias)};
    norm.bias.resize(norm.weight.size());
    return norm;
}

// llama.cpp returns numbers of the file with six decimals, so that BERT's 1e-12 becomes 0.
constexpr float least_epsilon = 1e-12F;

// Whether the rotary positions are not scaled and rotate the whole head.
bool has_plain_rotations(const Shape& shape) {
    const std::string scaling = shape.value("rope.scaling.type");
    return (scaling.empty() || scaling == "none") && shape.value("rope.dimension_count").empty() &&
           llama_model_rope_freq_scale_train(shape.model) == 1.0F;
}

// RoPE (Su et al., 2021, arXiv 2104.09864): pair i of a head is rotated by position · base^(−2i / head_dim).
std::vector<float> rotations_of(float base, size_t head_dim) {
    std::vector<float> rotations(head_dim / 2);
    for (size_t i = 0; i < rotations.size(); ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
        rotations[i] = static_cast<float>(std::pow(base, exponent));
    }
    return rotations;
}

// ALiBi (Press et al., 2022, arXiv 2108.12409): a geometric sequence that ends at 2⁻⁸ for a power of two of
// heads; heads beyond it take every second number of the sequence for twice as many.
std::vector<float> slopes_of(size_t n_heads) {
    constexpr float largest_bias = 8.0F;
    size_t power = 1;
    while (2 * power <= n_heads) {
        power *= 2;
    }
    std::vector<float> slopes(n_heads);
    for (size_t head = 0; head < n_heads; ++head) {
        const bool is_beyond = head >= power;
        const auto number = static_cast<float>(is_beyond ? 2 * (head - power) + 1 : head + 1);
        const float base = largest_bias / static_cast<float>(is_beyond ? 2 * power : power);
        slopes[head] = std::exp2(-base * number);
    }
    return slopes;
}

// Reads each tensor once. Returns nullptr when the tensors are not those of a supported model.
class Reader {
public:
    explicit Reader(const llama_model* model) : model_(model), shape_(model), tensors_(model) {}

    std::unique_ptr<const BertWeights> read(int n_threads) {
        auto weights = std::make_unique<BertWeights>();
        weights->kernels = best_kernels();
        // llama.cpp's converter gives the ranking head of a Jina reranker the name of the pooler.
        if (shape_.is_jina && shape_.rows_of("cls.weight") == 1) {
            return nullptr;
        }
        find();
        if (!fits() || !read_shape(*weights)) {
            return nullptr;
        }
        read_embeddings(*weights);
        read_head(*weights);
        pack_layers(*weights, n_threads);
        return weights;
    }

private:
    void find() {
        constexpr int64_t any = TensorFinder::any_size;
        const int64_t n = shape_.n_embd;
        const int64_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model_));
        token_embeddings_ = tensors_.required("token_embd.weight", {n, n_vocab});
        norm_ = tensors_.required("token_embd_norm.weight", {n});
        if (shape_.is_modern) {
            last_norm_ = tensors_.required("output_norm.weight", {n});
        } else {
            norm_bias_ = tensors_.required("token_embd_norm.bias", {n});
            types_ = tensors_.optional("token_types.weight", {n, any});
            const bool has_positions = !shape_.is_nomic && !shape_.is_jina;
            positions_ = has_positions ? tensors_.required("position_embd.weight", {n, any}) : nullptr;
        }
        pooler_ = tensors_.optional("cls.weight", {n, n});
        pooler_bias_ = tensors_.optional("cls.bias", {n});
        pooler_norm_ = tensors_.optional("cls.norm.weight", {n});
        output_ = tensors_.optional("cls.output.weight", {n, any});
        output_bias_ = tensors_.optional("cls.output.bias", {output_ ? output_->ne[1] : any});
        for (int i = 0; i < llama_model_n_layer(model_); ++i) {
            layers_.push_back(find_layer(tensors_, i, shape_));
        }
    }

    // Throws Error(model_load) if a model of a supported kind has tensors or heads that do not fit its sizes.
    bool fits() const {
        const int n_heads = llama_model_n_head(model_);
        if (!tensors_.satisfied() || layers_.empty() || llama_model_n_head_kv(model_) != n_heads) {
            return false;
        }
        if (n_heads <= 0 || shape_.n_embd % n_heads != 0) {
            refuse(
                shape_.architecture + ".attention.head_count is " + std::to_string(n_heads) +
                ", which does not divide " + shape_.architecture +
                ".embedding_length = " + std::to_string(shape_.n_embd));
        }
        if (!tensors_.mismatch().empty()) {
            refuse(
                "the tensor " + tensors_.mismatch() + ", which " + shape_.architecture +
                ".embedding_length = " + std::to_string(shape_.n_embd) + " and feed-forward layers of " +
                std::to_string(shape_.n_ff) + " require");
        }
        return true;
    }

    [[noreturn]] void refuse(const std::string& reason) const {
        throw Error(
            ErrorKind::model_load,
            "the model '" + metadata(model_, "general.name") + "' cannot be computed: " + reason);
    }

    bool read_shape(BertWeights& weights) const {
        weights.n_embd = static_cast<size_t>(token_embeddings_->ne[0]);
        weights.n_heads = static_cast<size_t>(llama_model_n_head(model_));
        weights.n_ff = static_cast<size_t>(shape_.n_ff);
        weights.norm_epsilon = std::max(least_epsilon, shape_.number("attention.layer_norm_epsilon", 0.0F));
        weights.normalizes_first = shape_.is_modern;
        weights.gated = shape_.has_gate_matrix || shape_.has_gate_inside;
        const std::string activation = shape_.value("hidden_activation");
        weights.activation = shape_.is_nomic || activation == "silu" ? Activation::silu : Activation::gelu;
        if (shape_.is_jina) {
            weights.slopes = slopes_of(weights.n_heads);
            return !weights.gated || weights.n_ff % row_padding == 0;
        }
        if (!weights.gated) {
            return true;
        }
        const size_t head_dim = weights.n_embd / weights.n_heads;
        const float base = shape_.number("rope.freq_base", 10000.0F);
        weights.rotations.push_back(rotations_of(base, head_dim));
        if (shape_.is_modern) { // for the layers that attend to neighbouring tokens
            weights.rotations.push_back(rotations_of(shape_.number("rope.freq_base_swa", base), head_dim));
        }
        return has_plain_rotations(shape_) && head_dim % 2 == 0 && weights.n_ff % row_padding == 0 &&
               (activation.empty() || activation == "gelu" || activation == "silu");
    }

    void read_embeddings(BertWeights& weights) const {
        weights.token_embeddings = token_embeddings_;
        weights.position_embeddings = read_optional(positions_);
        weights.type_embeddings = read_optional(types_);
        weights.embedding_norm = read_norm(norm_, norm_bias_);
        weights.last_norm = read_norm(last_norm_, nullptr);
    }

    void read_head(BertWeights& weights) const {
        weights.ranks_mean = shape_.is_modern && shape_.number("classifier.pooling_type", 1) == 1.0F;
        weights.pooler = read_optional(pooler_);
        weights.pooler_bias = read_optional(pooler_bias_);
        weights.pooler_bias.resize(pooler_ ? static_cast<size_t>(pooler_->ne[1]) : 0);
        weights.pooler_is_gelu = shape_.is_modern;
        weights.pooler_norm = read_norm(pooler_norm_, nullptr);
        weights.output = read_optional(output_);
        weights.output_bias = read_optional(output_bias_);
        weights.output_bias.resize(output_ ? static_cast<size_t>(output_->ne[1]) : 0);
    }

    void pack_layers(BertWeights& weights, int n_threads) const {
        std::vector<std::optional<BertLayer>> packed(layers_.size());
        parallel_for(layers_.size(), n_threads, [&](size_t i) {
            const LayerTensors& layer = layers_[i];
            const size_t width = weights.kernels->panel_width;
            const bool local = shape_.is_local(static_cast<int64_t>(i));
            packed[i] = BertLayer{
                PackedMatrix(layer.qkv, layer.qkv_bias, width),
                PackedMatrix({layer.out}, {layer.out_bias}, width),
                read_norm(layer.norm, layer.norm_bias),
                PackedMatrix(layer.up, layer.up_bias, width),
                PackedMatrix({layer.down}, {layer.down_bias}, width),
                read_norm(layer.feed_forward_norm, layer.feed_forward_norm_bias),
                local ? shape_.window() / 2 : SIZE_MAX,
                local ? size_t(1) : size_t(0)};
        });
        for (std::optional<BertLayer>& layer : packed) {
            weights.layers.push_back(std::move(*layer));
        }
    }

    const llama_model* model_;
    Shape shape_;
    TensorFinder tensors_;
    const ggml_tensor *token_embeddings_ = nullptr, *positions_ = nullptr, *types_ = nullptr;
    const ggml_tensor *norm_ = nullptr, *norm_bias_ = nullptr, *last_norm_ = nullptr;
    const ggml_tensor *pooler_ = nullptr, *pooler_bias_ = nullptr, *pooler_norm_ = nullptr;
    const ggml_tensor *output_ = nullptr, *output_bias_ = nullptr;
    std::vector<LayerTensors> layers_;
};

} // namespace

bool BertWeights::knows(const std::string& architecture) {
    return best_kernels() && (architecture == "bert" || architecture == "nomic-bert" ||
                              architecture == "modern-bert" || architecture == "jina-bert-v2");
}

std::unique_ptr<const BertWeights> BertWeights::of(const llama_model* model, int n_threads) {
    return knows(metadata(model, "general.architecture")) ? Reader(model).read(n_threads) : nullptr;
}

} // namespace xlc
