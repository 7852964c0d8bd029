// Joins a query and a document into one input of a reranker.
#pragma once

#include "retrieval/retriever_options.h"
#include "retrieval/tokenizing.h"

#include <llama.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace xlc {

// Lays out pairs of one query as the model was trained on them:
//   BERT            [CLS] query [SEP] document [SEP]
//   XLM-RoBERTa     <s> query </s></s> document </s>
//   with a template (Qwen3-Reranker) the template's text with {query}, {document} and {instruction} filled in
// Const and safe to call from several threads.
class PairLayout {
public:
    // Throws input_too_long with index -1 when the query leaves no room for a document.
    PairLayout(
        const llama_model* model,
        const Tokenizer& tokenizer,
        const std::string& query,
        const RerankOptions& options,
        size_t limit);

    // Throws input_too_long with this index when the pair is too long and may not be truncated. Truncation
    // removes tokens of the document only.
    TokenSequence pair_with(std::string_view document, size_t index, const Tokenizer::Stop& stop) const;

    // Number of tokens that a document may have.
    size_t n_room() const;

private:
    void lay_out_sentences(const std::string& query);
    void lay_out_template(std::string rerank_template, const std::string& query);

    const Tokenizer& tokenizer_;
    RerankOptions options_;
    size_t limit_;
    Tokens head_; // before the document
    Tokens tail_; // after it
    // Text that is tokenised together with the document, because a token may span both.
    std::string text_before_;
    std::string text_after_;
    size_t n_text_before_ = 0; // number of tokens of text_before_ and text_after_
    size_t n_text_after_ = 0;
};

} // namespace xlc
