#include "generation/prompt_reader.h"

#include "generation/infill_prompt.h"
#include "generation/media_prompt.h"
#include "generation/rendered_chat.h"
#include "support/errors.h"
#include "support/text_mark.h"

#include "common.h"
#include "llama.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace xlc {

namespace {

// 0 if it is unknown: other tokenizers drop characters, or make one token of many unknown ones.
int64_t longest_token(const llama_vocab* vocab) {
    const enum llama_vocab_type type = llama_vocab_type(vocab);
    if (type != LLAMA_VOCAB_TYPE_SPM && type != LLAMA_VOCAB_TYPE_BPE) {
        return 0;
    }
    size_t longest = 64; // characters that a small vocabulary lacks are dropped too
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
        // Never shorter than what it stands for, as spaces and bytes are written with more.
        longest = std::max(longest, std::strlen(llama_vocab_get_text(vocab, token)));
    }
    return static_cast<int64_t>(longest);
}

const std::string& text_of(const GenerationRequest& request) {
    return request.chat ? request.chat->params.prompt : request.prompt;
}

const std::string& mark_of(const GenerationRequest& request) {
    static const std::string none;
    return request.chat ? request.chat->mark : none;
}

} // namespace

void check_tokenizable(const std::string& text) {
    if (text.size() > INT32_MAX) {
        throw Error(
            ErrorKind::invalid_request,
            "a text of " + std::to_string(text.size()) + " bytes is more than the tokenizer takes; split it");
    }
}

PromptReader::PromptReader(
    const server_context& context, const common_params& base, const llama_vocab* vocab, int32_t n_ctx)
    : context_(context), base_(base), vocab_(vocab), n_ctx_(n_ctx), n_longest_(longest_token(vocab)) {}

void PromptReader::check_length(const GenerationRequest& request) const {
    check_length(without_mark(text_of(request), mark_of(request)));
}

void PromptReader::check_length(const std::string& prompt) const {
    const auto n_bytes = static_cast<int64_t>(prompt.size());
    const int64_t n_least = n_longest_ > 0 ? n_bytes / n_longest_ : 0;
    if (n_least >= n_ctx_) {
        throw Error::context_overflow(
            "the prompt has " + std::to_string(n_bytes) + " bytes, which are " + std::to_string(n_least) +
                " tokens or more, and the context holds " + std::to_string(n_ctx_) +
                ", with the answer; shorten the prompt or open the engine with a larger n_ctx",
            static_cast<int32_t>(std::min<int64_t>(n_least, INT32_MAX)), n_ctx_);
    }
}

server_tokens PromptReader::read(const GenerationRequest& request, const Poll& poll, bool count_only) {
    if (request.media.empty() && !request.infill && text_of(request).size() <= short_text) {
        return read_here(request, count_only);
    }
    const auto owned = std::make_shared<const GenerationRequest>(request);
    const auto tokens = std::make_shared<server_tokens>();
    background_.run([this, owned, tokens, count_only] { *tokens = read_here(*owned, count_only); }, poll);
    return std::move(*tokens);
}

void PromptReader::finish() {
    background_.finish();
}

server_tokens PromptReader::read_here(const GenerationRequest& request, bool count_only) const {
    check_tokenizable(text_of(request));
    const TextMarkScope mark(mark_of(request));
    if (!request.media.empty()) {
        return media_tokens(
            media_access(context_), text_of(request), request.media,
            {static_cast<int32_t>(base_.n_ubatch), n_ctx_, count_only});
    }
    if (!request.infill) {
        const bool parse_special = request.chat || request.parse_special;
        return {common_tokenize(vocab_, text_of(request), true, parse_special), false};
    }
    check_tokenizable(request.infill->prefix);
    check_tokenizable(request.infill->suffix);
    for (const InfillFile& file : request.infill->extra) {
        check_tokenizable(file.text);
    }
    const int32_t n_half = n_ctx_ / 2;
    const int32_t n_answer = std::min(request.sampling.max_tokens.value_or(n_half / 2), n_half);
    return {infill_tokens(*request.infill, vocab_, {n_ctx_ - 1 - n_answer, base_.spm_infill}), false};
}

} // namespace xlc
