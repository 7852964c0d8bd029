#include "retrieval/pairs.h"

#include "errors.h"

#include <vector>

namespace xlc {

namespace {

constexpr std::string_view query_field = "{query}";
constexpr std::string_view document_field = "{document}";

void append(Tokens& tokens, const Tokens& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
}

// A piece of a template: one control token, or text without any.
struct TemplatePiece {
    llama_token control = LLAMA_TOKEN_NULL;
    std::string text;
};

// Tokenising the filled template as a whole would turn the name of a control token in a document into that
// token; tokenising every field alone would miss tokens that span its edges, such as the space before a word.
// So the template is cut at its own control tokens, where no token spans, and the text between is tokenised
// as text.
std::vector<TemplatePiece>
cut_at_control_tokens(std::string_view rerank_template, const Tokenizer& tokenizer) {
    std::vector<TemplatePiece> pieces;
    size_t begin = 0;
    for (const llama_token token : tokenizer.with_control_tokens(rerank_template)) {
        if (!llama_vocab_is_control(tokenizer.vocab(), token)) {
            continue;
        }
        const std::string_view name = llama_vocab_get_text(tokenizer.vocab(), token);
        const size_t at = rerank_template.find(name, begin);
        if (at == std::string_view::npos) {
            continue; // added by the tokenizer, not written in the template
        }
        pieces.push_back({LLAMA_TOKEN_NULL, std::string(rerank_template.substr(begin, at - begin))});
        pieces.push_back({token, ""});
        begin = at + name.size();
    }
    pieces.push_back({LLAMA_TOKEN_NULL, std::string(rerank_template.substr(begin))});
    return pieces;
}

std::string fill_query(std::string text, const std::string& query) {
    const size_t at = text.find(query_field);
    return at == std::string::npos ? text : text.replace(at, query_field.size(), query);
}

} // namespace

PairLayout::PairLayout(
    const llama_model* model,
    const Tokenizer& tokenizer,
    const std::string& query,
    const RerankOptions& options,
    size_t limit)
    : tokenizer_(tokenizer), options_(options), limit_(limit) {
    if (const char* rerank_template = llama_model_chat_template(model, "rerank")) {
        lay_out_template(rerank_template, query);
    } else {
        lay_out_sentences(query);
    }
    n_before_ = head_.size() + tokenizer.plain(text_before_).size();
    n_after_ = tail_.size() + tokenizer.plain(text_after_).size();
    if (n_before_ + n_after_ >= limit) {
        const size_t n_tokens = n_before_ + n_after_;
        throw Error::input_too_long(
            "the query takes " + std::to_string(n_tokens) +
                " tokens and leaves no room for a document in the " + std::to_string(limit) +
                " that the model takes; shorten the query, or use a model with more context",
            -1, static_cast<int64_t>(n_tokens), static_cast<int64_t>(limit));
    }
}

void PairLayout::lay_out_sentences(const std::string& query) {
    const llama_vocab* vocab = tokenizer_.vocab();
    const llama_token bos = llama_vocab_bos(vocab);
    llama_token sep = llama_vocab_sep(vocab);
    llama_token eos = llama_vocab_eos(vocab);
    sep = sep == LLAMA_TOKEN_NULL ? eos : sep;
    eos = eos == LLAMA_TOKEN_NULL ? sep : eos;
    if (sep == LLAMA_TOKEN_NULL) {
        throw Error(
            ErrorKind::unsupported_feature, "the model's tokenizer has no separator to put between a query "
                                            "and a document, and the file has no "
                                            "template for reranking; use a model made for it");
    }

    if (bos != LLAMA_TOKEN_NULL) {
        head_.push_back(bos);
    }
    append(head_, tokenizer_.plain(query));
    // RoBERTa and its kin end the query as a text of its own and then separate; BERT only separates. Of
    // vocabularies of the BPE type there are both (RoBERTa, ModernBERT); the first has the two as one token,
    // </s>.
    const enum llama_vocab_type type = llama_vocab_type(vocab);
    const bool like_roberta = type == LLAMA_VOCAB_TYPE_SPM || type == LLAMA_VOCAB_TYPE_UGM ||
                              (type == LLAMA_VOCAB_TYPE_BPE && sep == eos && llama_vocab_get_add_sep(vocab) &&
                               llama_vocab_get_add_eos(vocab));
    if (like_roberta) {
        head_.push_back(eos);
        head_.push_back(eos);
        tail_.push_back(eos);
    } else {
        head_.push_back(sep);
        tail_.push_back(sep);
    }
}

void PairLayout::lay_out_template(std::string_view rerank_template, const std::string& query) {
    bool found_document = false;
    for (const TemplatePiece& piece : cut_at_control_tokens(rerank_template, tokenizer_)) {
        Tokens& side = found_document ? tail_ : head_;
        const size_t at = piece.text.find(document_field);
        if (piece.control != LLAMA_TOKEN_NULL) {
            side.push_back(piece.control);
        } else if (!found_document && at != std::string::npos) {
            found_document = true;
            text_before_ = fill_query(piece.text.substr(0, at), query);
            text_after_ = fill_query(piece.text.substr(at + document_field.size()), query);
        } else {
            append(side, tokenizer_.plain(fill_query(piece.text, query)));
        }
    }
    if (!found_document) {
        throw Error(
            ErrorKind::unsupported_feature,
            "the model's template for reranking has no {document}; take another file of the model");
    }
}

TokenSequence PairLayout::pair_with(std::string_view document, size_t index) const {
    TokenSequence pair;
    pair.tokens = head_;
    const bool has_neighbours = !text_before_.empty() || !text_after_.empty();
    append(
        pair.tokens, has_neighbours ? tokenizer_.plain(text_before_ + std::string(document) + text_after_)
                                    : tokenizer_.plain(document));
    append(pair.tokens, tail_);

    const size_t n_tokens = pair.tokens.size();
    if (n_tokens > limit_ && options_.truncate == Truncate::error) {
        throw Error::input_too_long(
            "document " + std::to_string(index) + " and the query take " + std::to_string(n_tokens) +
                " tokens, more than the " + std::to_string(limit_) +
                " that the model takes; split the document, pass truncate=\"end\", or use a model with more "
                "context",
            static_cast<int64_t>(index), static_cast<int64_t>(n_tokens), static_cast<int64_t>(limit_));
    }
    drop_tokens(pair.tokens, n_before_, n_after_, limit_, options_.truncate);
    if (options_.sentence_types) {
        pair.sentence_b = head_.size();
    }
    return pair;
}

} // namespace xlc
