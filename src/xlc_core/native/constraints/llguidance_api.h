// The C API of the installed llguidance wheel, opened at first use. llguidance is an ordinary Python
// dependency, so that xllama needs no Rust toolchain. The declarations follow parser/llguidance.h of
// llguidance 1.7.5 to 1.9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace xlc::llg {

struct Tokenizer; // opaque: LlgTokenizer
struct Matcher;   // opaque: LlgMatcher

struct ParserLimits { // zeros stand for llguidance's defaults
    size_t max_items_in_row;
    uint64_t initial_lexer_fuel;
    uint64_t step_lexer_fuel;
    size_t step_max_items;
    size_t max_lexer_states;
    size_t max_grammar_size;
    bool precompute_large_lexemes;
    bool verbose_errors;
};

struct ConstraintInit {
    const Tokenizer* tokenizer;
    uint32_t log_buffer_level;
    uint32_t log_stderr_level;
    bool ff_tokens_ok;
    bool backtrack_ok;
    ParserLimits limits;
};

using TokenizeFn = size_t (*)(
    const void* user_data, const uint8_t* bytes, size_t n_bytes, uint32_t* tokens, size_t max_tokens);

// Versioned by struct_size: the library reads only that many bytes and treats missing fields as zero.
struct TokenizerInit {
    size_t struct_size;
    uint32_t vocab_size;
    uint32_t tok_eos;
    const uint32_t* token_lens;
    const uint8_t* token_bytes;
    const char* tokenizer_json;
    bool tokenize_assumes_string;
    TokenizeFn tokenize_fn;
    bool use_approximate_greedy_tokenize_fn;
    const void* tokenize_user_data;
    const char* const* slices;
    const uint32_t* tok_eos_extra;
    uint32_t tok_eos_extra_count;
};

struct Api {
    const char* (*get_version)();
    void (*constraint_init_set_defaults)(ConstraintInit*, const Tokenizer*);
    Tokenizer* (*new_tokenizer_v2)(const TokenizerInit*, char* error, size_t error_len);
    void (*free_tokenizer)(Tokenizer*);
    Matcher* (*new_matcher)(const ConstraintInit*, const char* kind, const char* data);
    Matcher* (*clone_matcher)(const Matcher*);
    void (*free_matcher)(Matcher*);
    const char* (*matcher_get_error)(Matcher*);
    int32_t (*matcher_compute_mask)(Matcher*);
    const uint32_t* (*matcher_get_mask)(Matcher*);
    size_t (*matcher_get_mask_byte_size)(const Matcher*);
    int32_t (*matcher_consume_token)(Matcher*, uint32_t token);
    int32_t (*matcher_validate_tokens)(Matcher*, const uint32_t* tokens, size_t n_tokens);
    int32_t (*matcher_compute_ff_tokens)(Matcher*, uint32_t* tokens, size_t max_tokens); // returns the number
    int32_t (*matcher_reset)(Matcher*);
    bool (*matcher_is_accepting)(Matcher*);
    bool (*matcher_is_stopped)(const Matcher*); // also true after an error
};

struct TokenizerDeleter {
    void operator()(Tokenizer* tokenizer) const;
};
struct MatcherDeleter {
    void operator()(Matcher* matcher) const;
};
using TokenizerPtr = std::unique_ptr<Tokenizer, TokenizerDeleter>;
using MatcherPtr = std::unique_ptr<Matcher, MatcherDeleter>;

// Set the path of the wheel's library (the file of llguidance._lib). Python sets it before the first
// constraint. Once the library is open, another path has no effect.
void set_library_path(std::string path);

// Return the function table. The first call opens the library; any thread may make it. The library stays open
// until the process ends, since samplers on other threads may be calling it. Throws
// Error(unsupported_feature) when the wheel is missing, has another major version, or has another layout.
const Api& api();

// Return llguidance's reason for a matcher's error. Empty without an error.
std::string matcher_error(Matcher* matcher);

} // namespace xlc::llg
