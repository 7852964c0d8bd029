#include "generation/task_params.h"

#include "constraints/waiting_sampler.h"
#include "generation/chat_rendering.h"
#include "generation/thinking.h"
#include "support/errors.h"

#include "sampling.h"

#include <algorithm>
#include <cmath>

namespace xlc {

namespace {

void add_bias(std::vector<llama_logit_bias>& biases, const TokenBias& bias, const llama_vocab* vocab) {
    if (!bias.token) {
        for (const llama_token token : common_tokenize(vocab, bias.text, false)) {
            biases.push_back({token, bias.bias});
        }
        return;
    }
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    if (*bias.token < 0 || *bias.token >= n_vocab) {
        throw Error(
            ErrorKind::invalid_request, "logit_bias names token " + std::to_string(*bias.token) +
                                            ", the vocabulary has tokens 0 to " +
                                            std::to_string(n_vocab - 1));
    }
    biases.push_back({*bias.token, bias.bias});
}

template<typename Target, typename Value>
void assign(Target& target, const Value& value, const llama_vocab* /* vocab */) {
    target = static_cast<Target>(value);
}

void assign(
    std::vector<common_sampler_type>& target,
    const std::vector<std::string>& names,
    const llama_vocab* /* vocab */) {
    target = common_sampler_types_from_names(names);
}

void assign(
    std::vector<llama_logit_bias>& target, const std::vector<TokenBias>& biases, const llama_vocab* vocab) {
    for (const TokenBias& bias : biases) {
        add_bias(target, bias, vocab);
    }
}

void set_sampling(task_params& out, const SamplingParams& in, const llama_vocab* vocab) {
#define XLC_ASSIGN(type, name, target)                                                                       \
    if (in.name) {                                                                                           \
        assign(out.target, *in.name, vocab);                                                                 \
    }
    XLC_SAMPLING_OPTIONS(XLC_ASSIGN)
#undef XLC_ASSIGN
    if (in.ignore_eos.value_or(false)) { // llama.cpp's server bans the tokens when it reads the option
        for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
            if (llama_vocab_is_eog(vocab, token)) {
                out.sampling.logit_bias.push_back({token, -INFINITY});
            }
        }
    }
}

// A trigger word that is a single token is matched as that token, which is faster and exact.
void add_trigger(
    common_params_sampling& out, const common_grammar_trigger& trigger, const llama_vocab* vocab) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
        const llama_tokens ids = common_tokenize(vocab, trigger.value, false, true);
        if (ids.size() == 1 && out.preserved_tokens.count(ids[0])) {
            out.grammar_triggers.push_back({COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN, trigger.value, ids[0]});
            return;
        }
    }
    out.grammar_triggers.push_back(trigger);
}

void set_chat(task_params& out, const RenderedChat& request, const llama_vocab* vocab) {
    const ChatRequest& chat = request.chat;
    const common_chat_params& rendered = request.params;
    for (const std::string& text : rendered.preserved_tokens) {
        const llama_tokens ids = common_tokenize(vocab, text, false, true);
        if (ids.size() == 1) {
            out.sampling.preserved_tokens.insert(ids[0]);
        }
    }
    out.sampling.generation_prompt = rendered.generation_prompt;
    set_thinking(out.sampling, chat, rendered, vocab);
    out.antiprompt.insert(
        out.antiprompt.end(), rendered.additional_stops.begin(), rendered.additional_stops.end());
}

void set_triggers(task_params& out, const GenerationRequest& request, const llama_vocab* vocab) {
    out.sampling.grammar_lazy = true;
    if (!request.grammar_trigger.empty()) {
        out.sampling.grammar_triggers = {{COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN, request.grammar_trigger}};
    } else if (request.chat) {
        for (const common_grammar_trigger& trigger : request.chat->params.grammar_triggers) {
            add_trigger(out.sampling, trigger, vocab);
        }
    }
    for (const std::string& opening : request.call_openings) {
        out.sampling.grammar_triggers.push_back(
            {COMMON_GRAMMAR_TRIGGER_TYPE_WORD, opening, call_opening_mark});
    }
}

// Numbers of tokens that are larger than the context mean the whole context. llama.cpp would allocate memory
// for them, or add to them.
void limit_to_context(task_params& out, int32_t n_ctx) {
    for (int32_t* const n_tokens :
         {&out.sampling.penalty_last_n, &out.sampling.dry_penalty_last_n, &out.sampling.n_prev, &out.n_keep,
          &out.n_discard, &out.n_cache_reuse}) {
        *n_tokens = std::min(*n_tokens, n_ctx);
    }
}

} // namespace

task_params to_task_params(
    const GenerationRequest& request, const common_params& base, const llama_vocab* vocab, int32_t n_ctx) {
    task_params out;
    // Like server_schema::eval_llama_cmpl_schema: first the engine's settings, then the request's.
    out.sampling = base.sampling;
    out.speculative = base.speculative;
    if (!request.speculative) {
        out.speculative.types.clear(); // overrides/server/server-context.cpp sees it
    }
    // Always send every scale: a request without scales would reuse a cache computed with another request's.
    for (size_t i = 0; i < base.lora_adapters.size(); i++) {
        out.lora[static_cast<int>(i)] =
            i < request.lora_scales.size() ? request.lora_scales[i] : base.lora_adapters[i].scale;
    }
    out.n_keep = base.n_keep;
    out.n_predict = base.n_predict;
    out.n_cache_reuse = base.n_cache_reuse;
    out.stream = request.stream;
    out.return_progress = request.prompt_progress;

    set_sampling(out, request.sampling, vocab);
    limit_to_context(out, n_ctx);
    if (!request.grammar.empty()) {
        out.sampling.grammar = {COMMON_GRAMMAR_TYPE_USER, request.grammar};
    }
    if (request.chat) {
        set_chat(out, *request.chat, vocab);
    }
    if (request.grammar_waits) {
        set_triggers(out, request, vocab);
    }
    return out;
}

std::string task_settings(const task_params& params) {
    json settings = params.to_json();
    // Settings that the server does not report.
    settings["n_cmpl"] = params.n_cmpl;
    settings["n_indent"] = params.n_indent;
    settings["n_cache_reuse"] = params.n_cache_reuse;
    settings["t_max_predict_ms"] = params.t_max_predict_ms;
    settings["cache_prompt"] = params.cache_prompt;
    return settings.dump();
}

std::optional<ClosingParams>
closing_params(const task_params& params, int32_t n_room, const GenerationRequest& request) {
    ClosingParams out;
    out.n_tokens = params.n_predict < 0 ? n_room : std::min(params.n_predict, n_room);
    if (out.n_tokens <= 0 || out.n_tokens == no_limit) {
        return std::nullopt;
    }
    if (request.chat != nullptr) {
        out.thinking_start = request.chat->thinking_start_tag;
        out.thinking_ends = request.chat->thinking_end_tags;
    }
    out.text_ends = request.text_ends;
    out.parts = required_parts(request.grammar);
    return out;
}

} // namespace xlc
