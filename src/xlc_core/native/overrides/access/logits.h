// Graphs that stop at the embeddings.
#pragma once

namespace xlc {

// While it lives, contexts that are made or run on this thread compute no logits. llama.cpp computes them for
// every token of an embedding model that was made from a generative one, and copies them out: with a
// vocabulary of 150,000 a quarter of all the work, which nobody looks at. What a model's dense modules make
// of the embeddings takes their place, as with pooling.
class WithoutLogits {
public:
    WithoutLogits();
    ~WithoutLogits();
    WithoutLogits(const WithoutLogits&) = delete;
    WithoutLogits& operator=(const WithoutLogits&) = delete;
};

} // namespace xlc
