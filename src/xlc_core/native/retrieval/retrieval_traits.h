// The traits of a loaded model that matter for embedding and reranking, read from its tensors and metadata.
#pragma once

#include <llama.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

struct ggml_tensor;

namespace xlc {

// All tensors of the model, by name.
const std::vector<std::pair<std::string, ggml_tensor*>>& tensors_of(const llama_model* model);

// Return a value of the file's metadata as text, such as that of "general.architecture". Empty if the file
// does not have this key.
std::string metadata(const llama_model* model, const std::string& key);

// Whether ggml can convert the tensor's rows to float32.
bool can_read(const ggml_tensor* tensor);

// Return the tensor with this name, such as "token_embd.weight", or nullptr.
const ggml_tensor* find_tensor(const llama_model* model, const std::string& name);

// Whether llama.cpp has put any of the weights on a GPU.
bool uses_gpu(const llama_model* model);

struct RetrievalTraits {
    explicit RetrievalTraits(const llama_model* model, enum llama_pooling_type wanted_pooling);

    std::string name;         // for messages: general.name, else the architecture
    std::string architecture; // such as "bert"
    size_t n_dims;            // numbers in an embedding
    size_t n_vocab;
    size_t n_positions;    // most tokens that the model can read; SIZE_MAX without a table of positions
    bool has_ranking_head; // needed for rerank()
    size_t n_labels;       // outputs of the ranking head
    enum llama_pooling_type pooling; // RANK for a reranker, never UNSPECIFIED
    bool on_gpu;

    // Throws unsupported_feature with the reason.
    void require_embedding() const;
    void require_pooling() const;
    void require_ranking() const;

    // Index of the ranking head's output that is the score.
    size_t score_index = 0;
    // Whether llama.cpp turns the head's outputs into probabilities.
    bool scores_are_probabilities = false;
};

// Token embeddings with sentence types, as float32, for a pair of sentences A and B. llama.cpp gives every
// token the type A. So we pass a pair as embeddings and add (type B − type A) to the tokens of B.
class TypedEmbeddings {
public:
    // Return nullptr for a model that does not distinguish the two sentences.
    static std::unique_ptr<TypedEmbeddings> of(const llama_model* model);

    void append_row(llama_token token, bool sentence_b, std::vector<float>& rows) const;

private:
    TypedEmbeddings(const ggml_tensor* tokens, const ggml_tensor* types);

    const ggml_tensor* tokens_;
    std::vector<float> b_minus_a_;
};

} // namespace xlc
