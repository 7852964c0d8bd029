// What a model file says about embedding and reranking, read from its tensors and metadata.
#pragma once

#include <llama.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

struct ggml_tensor;

namespace xlc {

// All of the model's tensors by name.
const std::vector<std::pair<std::string, ggml_tensor*>>& tensors_of(const llama_model* model);

// A value of the file's metadata as text, such as of "general.architecture"; empty when it has none.
std::string metadata(const llama_model* model, const std::string& key);

// Whether ggml can turn its rows into float32.
bool can_read(const ggml_tensor* tensor);

// The model's tensor of this name, such as "token_embd.weight"; nullptr when it has none.
const ggml_tensor* find_tensor(const llama_model* model, const std::string& name);

// Whether llama.cpp has put any of the weights on a GPU.
bool uses_gpu(const llama_model* model);

struct RetrievalTraits {
    explicit RetrievalTraits(const llama_model* model, enum llama_pooling_type wanted_pooling);

    std::string name;         // for messages: general.name, else the architecture
    std::string architecture; // such as "bert"
    size_t n_dims;            // of an embedding
    size_t n_vocab;
    size_t n_positions;    // tokens that the model takes at most, SIZE_MAX when it has no table of positions
    bool has_ranking_head; // so that rerank works
    size_t n_labels;       // outputs of the ranking head
    enum llama_pooling_type pooling; // RANK for a reranker, never UNSPECIFIED
    bool on_gpu;

    // Throws unsupported_feature with the reason.
    void require_embedding() const;
    void require_pooling() const;
    void require_ranking() const;

    // The output of the ranking head that is the score.
    size_t score_index = 0;
    // Whether llama.cpp makes probabilities of the head's outputs, rather than leaving them as they are.
    bool scores_are_probabilities = false;
};

// Rows of token_embd.weight and token_types.weight as float32, to type the tokens of a pair as sentence A and
// B. llama.cpp gives every token the type A; so the input of a pair is embeddings, with B − A added to those
// of B.
class TypedEmbeddings {
public:
    // nullptr for a model that does not tell sentences apart.
    static std::unique_ptr<TypedEmbeddings> of(const llama_model* model);

    void append_row(llama_token token, bool sentence_b, std::vector<float>& rows) const;

private:
    TypedEmbeddings(const ggml_tensor* tokens, const ggml_tensor* types);

    const ggml_tensor* tokens_;
    std::vector<float> b_minus_a_;
};

} // namespace xlc
