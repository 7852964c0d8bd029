// Turns the prompts of one engine's requests into tokens.
#pragma once

#include "generation/request.h"
#include "support/background_work.h"

#include "server-common.h"

#include <cstdint>
#include <string>

struct common_params;
struct llama_vocab;
struct server_context;

namespace xlc {

// Texts up to this size are tokenised in some milliseconds; longer ones on a thread of their own.
constexpr size_t short_text = size_t(64) << 10;

// Refuse a text that llama.cpp's tokenizers cannot take, because they count bytes in 32 bits. Throws
// Error(invalid_request).
void check_tokenizable(const std::string& text);

class PromptReader {
public:
    // All must outlive it. `n_ctx`: tokens that a request may hold.
    PromptReader(
        const server_context& context, const common_params& base, const llama_vocab* vocab, int32_t n_ctx);

    // Refuse a prompt that cannot fit by its length alone, before time is spent on its tokens. Throws
    // Error(context_overflow).
    void check_length(const GenerationRequest& request) const;
    void check_length(const std::string& prompt) const;

    // Return the tokens of a prompt. A long prompt is read on a thread of its own, so that a caller whose
    // `poll` throws does not wait for it. Throws Error(invalid_request).
    server_tokens read(const GenerationRequest& request, const Poll& poll, bool count_only = false);

    // Wait for prompts that callers have given up.
    void finish();

private:
    server_tokens read_here(const GenerationRequest& request, bool count_only) const;

    const server_context& context_;
    const common_params& base_;
    const llama_vocab* const vocab_;
    const int32_t n_ctx_;
    const int64_t n_longest_; // bytes that a token may stand for at most; 0: unknown
    BackgroundWork background_;
};

} // namespace xlc
