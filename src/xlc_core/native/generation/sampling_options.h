// Every sampling option of a request, in one table: its type, its name in SamplingOptions, and where
// llama.cpp has it in task_params. The struct, its binding and the assignment are made from it, so that a new
// option is one line here and one field in Python's SamplingOptions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// Types that need a conversion (TokenBias, samplers by name) are converted in task_params.cpp.
#define XLC_SAMPLING_OPTIONS(OPTION)                                                                         \
    OPTION(int32_t, max_tokens, n_predict)                                                                   \
    OPTION(int32_t, n, n_cmpl)                                                                               \
    OPTION(float, temperature, sampling.temp)                                                                \
    OPTION(int32_t, top_k, sampling.top_k)                                                                   \
    OPTION(float, top_p, sampling.top_p)                                                                     \
    OPTION(float, min_p, sampling.min_p)                                                                     \
    OPTION(float, typical_p, sampling.typ_p)                                                                 \
    OPTION(float, top_n_sigma, sampling.top_n_sigma)                                                         \
    OPTION(float, xtc_probability, sampling.xtc_probability)                                                 \
    OPTION(float, xtc_threshold, sampling.xtc_threshold)                                                     \
    OPTION(float, dynatemp_range, sampling.dynatemp_range)                                                   \
    OPTION(float, dynatemp_exponent, sampling.dynatemp_exponent)                                             \
    OPTION(int32_t, repeat_last_n, sampling.penalty_last_n)                                                  \
    OPTION(float, repeat_penalty, sampling.penalty_repeat)                                                   \
    OPTION(float, frequency_penalty, sampling.penalty_freq)                                                  \
    OPTION(float, presence_penalty, sampling.penalty_present)                                                \
    OPTION(float, dry_multiplier, sampling.dry_multiplier)                                                   \
    OPTION(float, dry_base, sampling.dry_base)                                                               \
    OPTION(int32_t, dry_allowed_length, sampling.dry_allowed_length)                                         \
    OPTION(int32_t, dry_penalty_last_n, sampling.dry_penalty_last_n)                                         \
    OPTION(std::vector<std::string>, dry_sequence_breakers, sampling.dry_sequence_breakers)                  \
    OPTION(int32_t, mirostat, sampling.mirostat)                                                             \
    OPTION(float, mirostat_tau, sampling.mirostat_tau)                                                       \
    OPTION(float, mirostat_eta, sampling.mirostat_eta)                                                       \
    OPTION(float, adaptive_target, sampling.adaptive_target)                                                 \
    OPTION(float, adaptive_decay, sampling.adaptive_decay)                                                   \
    OPTION(int32_t, min_keep, sampling.min_keep)                                                             \
    OPTION(std::vector<std::string>, samplers, sampling.samplers)                                            \
    OPTION(std::vector<TokenBias>, logit_bias, sampling.logit_bias)                                          \
    OPTION(uint32_t, seed, sampling.seed)                                                                    \
    OPTION(std::vector<std::string>, stop, antiprompt)                                                       \
    OPTION(bool, ignore_eos, sampling.ignore_eos)                                                            \
    OPTION(int32_t, logprobs, sampling.n_probs)                                                              \
    OPTION(bool, post_sampling_probs, post_sampling_probs)                                                   \
    OPTION(bool, cache_prompt, cache_prompt)                                                                 \
    OPTION(int32_t, n_keep, n_keep)                                                                          \
    OPTION(int32_t, n_discard, n_discard)                                                                    \
    OPTION(int32_t, n_indent, n_indent)                                                                      \
    OPTION(int32_t, n_cache_reuse, n_cache_reuse)                                                            \
    OPTION(int64_t, max_generation_ms, t_max_predict_ms)

namespace xlc {

// A bias on one token by number, or on every token of a text.
struct TokenBias {
    std::optional<int32_t> token;
    std::string text;
    float bias = 0;
};

// Unset fields stay at llama.cpp's defaults.
struct SamplingParams {
#define XLC_MEMBER(type, name, target) std::optional<type> name;
    XLC_SAMPLING_OPTIONS(XLC_MEMBER)
#undef XLC_MEMBER
};

} // namespace xlc
