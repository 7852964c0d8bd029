// Graphs without logits, which end with the embeddings.
#pragma once

namespace xlc {

// While it lives, contexts that are created or run on this thread do not compute logits. For an embedding
// model that was made from a generative one, llama.cpp computes the logits of every token and copies them
// out. With a vocabulary of 150,000 this is a quarter of all the work, and nobody uses the result. If the
// model has dense modules, their output replaces the embeddings, as with pooling.
class WithoutLogits {
public:
    WithoutLogits();
    ~WithoutLogits();
    WithoutLogits(const WithoutLogits&) = delete;
    WithoutLogits& operator=(const WithoutLogits&) = delete;
};

} // namespace xlc
