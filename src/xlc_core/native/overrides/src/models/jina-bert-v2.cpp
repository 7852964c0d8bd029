// llama.cpp's models/jina-bert-v2.cpp, which also loads the pooler of rerankers.

#include "models/models.h"

#include "llama-model-loader.h"

namespace {

// In a file with a pooler, the pooler is `cls`, and `cls.output` computes the score from its output, as in
// BERT. The graph computes both if they exist. Without this change llama.cpp reads a `cls` that computes the
// score.
ggml_tensor* create_with_pooler(
    llama_model_base& model,
    llama_model_loader& loader,
    const LLM_TN_IMPL& name,
    const std::initializer_list<int64_t>& shape,
    int flags) {
    const auto output = model.tn(LLM_TENSOR_CLS_OUT, name.suffix);
    if (name.tensor != LLM_TENSOR_CLS || !loader.get_tensor_meta(output.str().c_str())) {
        return model.create_tensor(name, shape, flags);
    }
    const int64_t n_embd = model.hparams.n_embd;
    if (shape.size() == 1) {
        model.cls_out_b = model.create_tensor(output, shape, 0);
        return model.create_tensor(name, {n_embd}, 0);
    }
    model.cls_out = model.create_tensor(output, shape, 0);
    return model.create_tensor(name, {n_embd, n_embd}, 0);
}

} // namespace

#define create_tensor(...) create_with_pooler(*this, ml, __VA_ARGS__)
#include "src/models/jina-bert-v2.cpp"
