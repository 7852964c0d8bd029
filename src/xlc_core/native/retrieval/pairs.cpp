#include "retrieval/pairs.h"

#include "support/errors.h"

#include <algorithm>
#include <vector>

namespace xlc {

namespace {

constexpr std::string_view query_field = "{query}";
constexpr std::string_view document_field = "{document}";
constexpr std::string_view instruction_field = "{instruction}";

// Qwen3-Reranker: the template in its GGUF files has the default instruction written out after this word.
constexpr std::string_view instruction_word = "<Instruct>: ";
constexpr std::string_view default_instruction =
    "Given a web search query, retrieve relevant passages that answer the query";

// A piece of a template: one control token, or text without any.
struct TemplatePiece {
    llama_token control = LLAMA_TOKEN_NULL;
    std::string text;
};

// If the filled template were tokenised as a whole, the name of a control token in a document would become
// that token. If every field were tokenised alone, tokens that span its edges would be missed, such as a word
// with the space before it. So the template is cut at its control tokens, which no token spans, and the text
// between them is tokenised as text.
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
            continue; // the tokenizer added it; the template does not contain it
        }
        pieces.push_back({LLAMA_TOKEN_NULL, std::string(rerank_template.substr(begin, at - begin))});
        pieces.push_back({token, ""});
        begin = at + name.size();
    }
    pieces.push_back({LLAMA_TOKEN_NULL, std::string(rerank_template.substr(begin))});
    return pieces;
}

// The user's texts. They are never searched for fields or control tokens.
struct Fields {
    std::string_view query;
    std::string_view instruction;
};

std::string fill(std::string_view text, const Fields& fields) {
    std::string filled;
    while (!text.empty()) {
        const size_t at = text.find('{');
        filled += text.substr(0, at);
        text.remove_prefix(std::min(at, text.size()));
        if (text.rfind(query_field, 0) == 0) {
            filled += fields.query;
            text.remove_prefix(query_field.size());
        } else if (text.rfind(instruction_field, 0) == 0) {
            filled += fields.instruction;
            text.remove_prefix(instruction_field.size());
        } else if (!text.empty()) {
            filled += text.front();
            text.remove_prefix(1);
        }
    }
    return filled;
}

// Replace the instruction that is written out in the template by a field. Return false if the template has
// neither.
bool open_instruction(std::string& rerank_template, std::string& written_out) {
    if (rerank_template.find(instruction_field) != std::string::npos) {
        return true;
    }
    const size_t word = rerank_template.find(instruction_word);
    if (word == std::string::npos) {
        return false;
    }
    const size_t begin = word + instruction_word.size();
    const size_t n = std::min(rerank_template.find('\n', begin), rerank_template.size()) - begin;
    written_out = rerank_template.substr(begin, n);
    rerank_template.replace(begin, n, instruction_field);
    return true;
}

Error no_instruction() {
    return Error(
        ErrorKind::unsupported_feature,
        "this reranker was trained on queries and documents alone and takes no instruction; put it into the "
        "query, or use a model with a place for it, such as Qwen3-Reranker");
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
    n_text_before_ = tokenizer.count_before(text_before_);
    n_text_after_ = tokenizer.plain(text_after_).size();
    const size_t n_tokens = head_.size() + n_text_before_ + n_text_after_ + tail_.size();
    if (n_tokens >= limit) {
        throw Error::input_too_long(
            "the query takes " + std::to_string(n_tokens) +
                " tokens and leaves no room for a document in the " + std::to_string(limit) +
                " that the model takes; shorten the query, or use a model with more context",
            -1, static_cast<int64_t>(n_tokens), static_cast<int64_t>(limit));
    }
}

void PairLayout::lay_out_sentences(const std::string& query) {
    if (options_.instruction) {
        throw no_instruction();
    }
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
    // RoBERTa-like models end the query as a separate text and then add a separator; BERT only adds the
    // separator. Models with a BPE vocabulary can be either (RoBERTa, ModernBERT). In RoBERTa's vocabulary
    // the end token and the separator are the same token, </s>.
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

void PairLayout::lay_out_template(std::string rerank_template, const std::string& query) {
    std::string instruction(default_instruction);
    if (!open_instruction(rerank_template, instruction) && options_.instruction) {
        throw no_instruction();
    }
    const Fields fields{query, options_.instruction ? *options_.instruction : instruction};
    bool found_document = false;
    for (const TemplatePiece& piece : cut_at_control_tokens(rerank_template, tokenizer_)) {
        Tokens& side = found_document ? tail_ : head_;
        const size_t at = piece.text.find(document_field);
        if (piece.control != LLAMA_TOKEN_NULL) {
            side.push_back(piece.control);
        } else if (!found_document && at != std::string::npos) {
            found_document = true;
            text_before_ = fill(piece.text.substr(0, at), fields);
            text_after_ = fill(piece.text.substr(at + document_field.size()), fields);
        } else {
            append(side, tokenizer_.plain(fill(piece.text, fields)));
        }
    }
    if (!found_document) {
        throw Error(
            ErrorKind::unsupported_feature,
            "the model's template for reranking has no {document}; take another file of the model");
    }
}

size_t PairLayout::n_room() const {
    return limit_ - head_.size() - n_text_before_ - n_text_after_ - tail_.size();
}

TokenSequence
PairLayout::pair_with(std::string_view document, size_t index, const Tokenizer::Stop& stop) const {
    size_t n_first = SIZE_MAX;
    size_t n_last = 0;
    if (options_.truncate == Truncate::end) {
        n_first = n_text_before_ + n_room();
        n_last = n_text_after_;
    } else if (options_.truncate == Truncate::start) {
        n_first = n_text_before_;
        n_last = n_room() + n_text_after_;
    }
    TokenSequence pair;
    pair.tokens = head_;
    const bool has_neighbours = !text_before_.empty() || !text_after_.empty();
    append(
        pair.tokens,
        has_neighbours
            ? tokenizer_.ends(text_before_ + std::string(document) + text_after_, n_first, n_last, stop)
            : tokenizer_.ends(document, n_first, n_last, stop));
    append(pair.tokens, tail_);

    const size_t n_tokens = pair.tokens.size();
    if (n_tokens > limit_) {
        throw Error::input_too_long(
            "document " + std::to_string(index) + " and the query take " + std::to_string(n_tokens) +
                " tokens, more than the " + std::to_string(limit_) +
                " that the model takes; pass truncate=\"split\" or \"end\", or use a model with more context",
            static_cast<int64_t>(index), static_cast<int64_t>(n_tokens), static_cast<int64_t>(limit_));
    }
    if (options_.sentence_types) {
        pair.sentence_b = head_.size();
    }
    return pair;
}

} // namespace xlc
