// llama.cpp's src/llama-model.cpp, whose graphs omit the logits if they are not needed
// (overrides/access/logits.h): the last step of building a graph is wrapped where it is called.

#include "overrides/access/logits.h"

#include "ggml-impl.h"
#include "llama-graph.h"

#include <unordered_map>
#include <unordered_set>

namespace xlc {

namespace {

thread_local int n_without_logits = 0;

// Remove the nodes that only the logits need.
void drop_logits(ggml_cgraph& graph, llm_graph_result& result) {
    std::unordered_map<const ggml_tensor*, int> n_uses;
    for (int i = 0; i < graph.n_nodes; ++i) {
        for (const ggml_tensor* source : graph.nodes[i]->src) {
            ++n_uses[source];
        }
        ++n_uses[graph.nodes[i]->view_src];
    }
    std::unordered_set<const ggml_tensor*> dropped;
    for (int i = graph.n_nodes - 1; i >= 0; --i) {
        const ggml_tensor* node = graph.nodes[i];
        const auto used = n_uses.find(node);
        // A node that was unused from the start is computed for its effect, such as writing the KV cache.
        const bool unused_now = used != n_uses.end() && used->second == 0;
        if (node == result.t_embd || node == result.t_embd_pooled ||
            (node != result.t_logits && !unused_now)) {
            continue;
        }
        dropped.insert(node);
        for (const ggml_tensor* source : node->src) {
            --n_uses[source];
        }
        --n_uses[node->view_src];
    }
    int n_nodes = 0;
    for (int i = 0; i < graph.n_nodes; ++i) {
        if (dropped.count(graph.nodes[i]) == 0) {
            graph.nodes[n_nodes++] = graph.nodes[i];
        }
    }
    graph.n_nodes = n_nodes;
    result.t_logits = nullptr;
}

void finish_graph(const llm_graph_context& graph) {
    if (n_without_logits == 0 || !graph.res->t_embd) {
        return;
    }
    if (graph.pooling_type == LLAMA_POOLING_TYPE_NONE && graph.res->t_embd_pooled) {
        graph.res->t_embd = graph.res->t_embd_pooled;
    }
    if (graph.res->t_logits) {
        drop_logits(*graph.gf, *graph.res);
    }
}

} // namespace

WithoutLogits::WithoutLogits() {
    ++n_without_logits;
}

WithoutLogits::~WithoutLogits() {
    --n_without_logits;
}

} // namespace xlc

// One expression, so that it stays one statement.
#define build_dense_out(...) build_dense_out(__VA_ARGS__), xlc::finish_graph(*llm)
#include "src/llama-model.cpp"
