// A vocabulary as llguidance sees it: the bytes of every token, which of them are control tokens, and which
// end the answer. Built once per model, in 0.1 to 2 seconds, and shared by its samplers.
#pragma once

#include "constraints/llguidance_api.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace xlc {

class LlgTokenizer {
public:
    // Throws Error(unsupported_feature) when the vocabulary has no token that ends an answer.
    explicit LlgTokenizer(const llama_vocab* vocab);

    // A vocabulary of the 256 bytes, for checking texts without a model.
    LlgTokenizer();

    LlgTokenizer(const LlgTokenizer&) = delete;
    LlgTokenizer& operator=(const LlgTokenizer&) = delete;

    const llg::Tokenizer* handle() const { return handle_.get(); }
    size_t n_tokens() const { return lengths_.size(); }
    bool ends_answer(uint32_t token) const;

    // The bytes of a token; those of a control token begin with the byte FF.
    std::string_view token_bytes(uint32_t token) const;

    // The tokens of a text as the model would read it, control tokens included; bytes for the byte
    // vocabulary.
    std::vector<uint32_t> tokenize(std::string_view text, bool parse_special) const;

    // A matcher at the start of a grammar. Throws Error(constraint) with llguidance's reason.
    llg::MatcherPtr new_matcher(const char* kind, const char* data) const;

private:
    void add_token(std::string_view bytes, bool is_control);
    void create();
    bool reads_back(std::string_view text) const;
    static size_t tokenize_for_llguidance(
        const void* self, const uint8_t* bytes, size_t n_bytes, uint32_t* tokens, size_t max);

    const llama_vocab* vocab_ = nullptr;
    std::string guard_;
    std::vector<uint32_t> guard_tokens_;
    std::vector<uint32_t> end_tokens_;
    std::vector<uint8_t> bytes_;
    std::vector<size_t> offsets_;
    std::vector<uint32_t> lengths_;
    llg::TokenizerPtr handle_;
};

// The tokenizers of the models that are loaded. llama.cpp asks for a sampler with nothing but the
// vocabulary's address, so the address is the key; whoever frees a model must call forget() first, or the
// next model at the same address would get its predecessor's tokens.
class TokenizerRegistry {
public:
    static std::shared_ptr<const LlgTokenizer> for_vocab(const llama_vocab* vocab);
    static void forget(const llama_vocab* vocab);

private:
    // A large vocabulary takes a second to build: under a lock of its own, so that other models' requests go
    // on.
    struct Entry {
        std::mutex mutex;
        std::shared_ptr<const LlgTokenizer> tokenizer;
    };

    static TokenizerRegistry& instance();

    std::mutex mutex_;
    std::map<const llama_vocab*, std::shared_ptr<Entry>> entries_;
};

} // namespace xlc
