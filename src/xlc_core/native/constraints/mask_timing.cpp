#include "constraints/mask_timing.h"

#include "constraints/checker.h"
#include "constraints/llg_tokenizer.h"
#include "json-schema-to-grammar.h"
#include "llama.h"
#include "support/deep_stack.h"
#include "support/errors.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <memory>

namespace xlc {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<double> time_llguidance(
    const LlgTokenizer& tokenizer, const char* data, const std::vector<uint32_t>& tokens, size_t every) {
    const llg::Api& api = llg::api();
    const llg::MatcherPtr matcher = tokenizer.new_matcher("lark", data);
    std::vector<double> seconds;
    for (size_t i = 0; i <= tokens.size(); ++i) {
        if (i % every == 0 || i == tokens.size()) {
            const auto start = Clock::now();
            const bool computed = api.matcher_compute_mask(matcher.get()) == 0;
            if (!computed || api.matcher_get_mask(matcher.get()) == nullptr) {
                break;
            }
            seconds.push_back(seconds_since(start));
        }
        if (i == tokens.size() || api.matcher_validate_tokens(matcher.get(), &tokens[i], 1) != 1 ||
            api.matcher_consume_token(matcher.get(), tokens[i]) != 0 ||
            api.matcher_is_stopped(matcher.get())) {
            break;
        }
    }
    return seconds;
}

std::vector<double>
time_gbnf(const llama_vocab* vocab, const char* data, const std::vector<uint32_t>& tokens, size_t every) {
    const std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)> sampler(
        llama_sampler_init_grammar(vocab, data, "root"), llama_sampler_free);
    if (!sampler) {
        throw Error(ErrorKind::constraint, "llama.cpp refuses the grammar");
    }
    const auto allowed = [&](std::vector<llama_token_data>& candidates) {
        llama_token_data_array all = {candidates.data(), candidates.size(), -1, false};
        llama_sampler_apply(sampler.get(), &all);
    };
    std::vector<double> seconds;
    std::vector<llama_token_data> candidates(static_cast<size_t>(llama_vocab_n_tokens(vocab)));
    for (size_t i = 0; i <= tokens.size(); ++i) {
        if (i % every == 0 || i == tokens.size()) {
            for (size_t id = 0; id < candidates.size(); ++id) {
                candidates[id] = {static_cast<llama_token>(id), 0.0f, 0.0f};
            }
            const auto start = Clock::now();
            allowed(candidates);
            seconds.push_back(seconds_since(start));
        }
        if (i == tokens.size()) {
            break;
        }
        std::vector<llama_token_data> next = {{static_cast<llama_token>(tokens[i]), 0.0f, 0.0f}};
        allowed(next);
        if (std::isinf(next[0].logit)) {
            break;
        }
        llama_sampler_accept(sampler.get(), static_cast<llama_token>(tokens[i]));
    }
    return seconds;
}

} // namespace

std::vector<double> time_masks(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    std::string_view text,
    size_t every) {
    check_constraint(vocab, kind, data);
    const auto tokenizer = TokenizerRegistry::for_vocab(vocab);
    const std::vector<uint32_t> tokens = tokenizer->tokenize(text, false);
    every = std::max<size_t>(every, 1);
    return kind == "gbnf" ? time_gbnf(vocab, data.c_str(), tokens, every)
                          : time_llguidance(*tokenizer, data.c_str(), tokens, every);
}

std::string schema_to_gbnf(const std::string& schema) {
    std::string grammar;
    try {
        on_deep_stack([&] { grammar = json_schema_to_grammar(common_json::parse(schema), true); });
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw Error(ErrorKind::constraint, error.what());
    }
    return grammar;
}

} // namespace xlc
