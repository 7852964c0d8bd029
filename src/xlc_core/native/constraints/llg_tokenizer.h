// A vocabulary in llguidance's form: the bytes of every token, which tokens are control tokens, and which end
// the answer. Built once per model, in 0.1 to 2 seconds, and shared by its samplers.
#pragma once

#include "constraints/llguidance_api.h"

#include <list>
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

    // A vocabulary of the 256 bytes, to check texts without a model.
    LlgTokenizer();

    LlgTokenizer(const LlgTokenizer&) = delete;
    LlgTokenizer& operator=(const LlgTokenizer&) = delete;

    const llg::Tokenizer* handle() const { return handle_.get(); }
    size_t n_tokens() const { return lengths_.size(); }
    bool ends_answer(uint32_t token) const;

    // The bytes of a token. For a control token, the byte FF and its name.
    std::string_view token_bytes(uint32_t token) const;

    // Return the tokens of a text as the model would read it; with parse_special also control tokens. For the
    // byte vocabulary, the bytes.
    std::vector<uint32_t> tokenize(std::string_view text, bool parse_special) const;

    // Return a matcher at the start of a grammar. The matchers of the grammars used last are kept and cloned,
    // which is many times faster than compiling them again. Throws Error(constraint) with llguidance's
    // reason.
    llg::MatcherPtr new_matcher(const std::string& kind, const std::string& data) const;

    // Return how many grammars were compiled.
    size_t n_compiled() const;

private:
    void add_token(std::string_view bytes, bool is_control);
    void create();
    bool reads_back(std::string_view text) const;
    llg::MatcherPtr compile(const std::string& kind, const std::string& data) const;
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

    struct Compiled {
        std::string kind;
        std::string data;
        llg::MatcherPtr matcher; // at its start
    };
    mutable std::mutex compiled_mutex_;
    mutable std::list<Compiled> compiled_; // the one used last in front; goes before handle_
    mutable size_t n_compiled_ = 0;
};

// The tokenizers of the loaded models. llama.cpp creates a sampler from the vocabulary's address only, so the
// address is the key. Call forget() before you free a model. Otherwise the next model at the same address
// would get the old model's tokens.
class TokenizerRegistry {
public:
    static std::shared_ptr<const LlgTokenizer> for_vocab(const llama_vocab* vocab);
    static void forget(const llama_vocab* vocab);

private:
    // Building a large vocabulary takes a second. It has its own lock, so that requests of other models
    // continue.
    struct Entry {
        std::mutex mutex;
        std::shared_ptr<const LlgTokenizer> tokenizer;
    };

    static TokenizerRegistry& instance();

    std::mutex mutex_;
    std::map<const llama_vocab*, std::shared_ptr<Entry>> entries_;
};

} // namespace xlc
