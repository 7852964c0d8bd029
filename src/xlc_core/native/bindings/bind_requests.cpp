#include "bindings/bindings.h"

#include "generation/request.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace xlc {

namespace nb = nanobind;

namespace {

void bind_chat(nb::module_& m) {
    nb::class_<ChatToolCall>(m, "ChatToolCall")
        .def(
            nb::init<std::string, std::string, std::string>(), nb::arg("id"), nb::arg("name"),
            nb::arg("arguments"))
        .def_ro("id", &ChatToolCall::id)
        .def_ro("name", &ChatToolCall::name)
        .def_ro("arguments", &ChatToolCall::arguments);

    nb::class_<ChatMessage>(m, "ChatMessage")
        .def(nb::init<>())
        .def_rw("role", &ChatMessage::role)
        .def_rw("content", &ChatMessage::content)
        .def_rw("reasoning", &ChatMessage::reasoning)
        .def_rw("tool_call_id", &ChatMessage::tool_call_id)
        .def_rw("name", &ChatMessage::name)
        .def_rw("tool_calls", &ChatMessage::tool_calls);

    nb::class_<ChatTool>(m, "ChatTool")
        .def(
            nb::init<std::string, std::string, std::string>(), nb::arg("name"), nb::arg("description"),
            nb::arg("parameters"));

    nb::class_<ChatRequest>(m, "ChatRequest")
        .def(nb::init<>())
        .def_rw("messages", &ChatRequest::messages)
        .def_rw("tools", &ChatRequest::tools)
        .def_rw("tool_choice", &ChatRequest::tool_choice)
        .def_rw("parallel_tool_calls", &ChatRequest::parallel_tool_calls, nb::arg().none())
        .def_rw("thinking", &ChatRequest::thinking, nb::arg().none())
        .def_rw("thinking_budget", &ChatRequest::thinking_budget, nb::arg().none())
        .def_rw("thinking_budget_message", &ChatRequest::thinking_budget_message, nb::arg().none())
        .def_rw("reasoning_format", &ChatRequest::reasoning_format, nb::arg().none())
        .def_rw("template_kwargs", &ChatRequest::template_kwargs);
}

void bind_sampling(nb::module_& m) {
    nb::class_<TokenBias>(m, "TokenBias")
        .def(
            nb::init<std::optional<int32_t>, std::string, float>(), nb::arg("token").none(), nb::arg("text"),
            nb::arg("bias"));

    // The names are those of SamplingOptions: Python copies the fields that are set by name.
    nb::class_<SamplingParams> cls(m, "SamplingParams");
    cls.def(nb::init<>())
        .def_rw("n", &SamplingParams::n)
        .def_rw("dry_sequence_breakers", &SamplingParams::dry_sequence_breakers)
        .def_rw("samplers", &SamplingParams::samplers)
        .def_rw("stop", &SamplingParams::stop)
        .def_rw("logit_bias", &SamplingParams::logit_bias)
        .def_rw("ignore_eos", &SamplingParams::ignore_eos)
        .def_rw("post_sampling_probs", &SamplingParams::post_sampling_probs)
        .def_rw("cache_prompt", &SamplingParams::cache_prompt);
    const auto optional = [&](const char* name, auto member) { cls.def_rw(name, member, nb::arg().none()); };
    optional("max_tokens", &SamplingParams::max_tokens);
    optional("temperature", &SamplingParams::temperature);
    optional("top_k", &SamplingParams::top_k);
    optional("top_p", &SamplingParams::top_p);
    optional("min_p", &SamplingParams::min_p);
    optional("typical_p", &SamplingParams::typical_p);
    optional("top_n_sigma", &SamplingParams::top_n_sigma);
    optional("xtc_probability", &SamplingParams::xtc_probability);
    optional("xtc_threshold", &SamplingParams::xtc_threshold);
    optional("dynatemp_range", &SamplingParams::dynatemp_range);
    optional("dynatemp_exponent", &SamplingParams::dynatemp_exponent);
    optional("repeat_last_n", &SamplingParams::repeat_last_n);
    optional("repeat_penalty", &SamplingParams::repeat_penalty);
    optional("frequency_penalty", &SamplingParams::frequency_penalty);
    optional("presence_penalty", &SamplingParams::presence_penalty);
    optional("dry_multiplier", &SamplingParams::dry_multiplier);
    optional("dry_base", &SamplingParams::dry_base);
    optional("dry_allowed_length", &SamplingParams::dry_allowed_length);
    optional("dry_penalty_last_n", &SamplingParams::dry_penalty_last_n);
    optional("mirostat", &SamplingParams::mirostat);
    optional("mirostat_tau", &SamplingParams::mirostat_tau);
    optional("mirostat_eta", &SamplingParams::mirostat_eta);
    optional("adaptive_target", &SamplingParams::adaptive_target);
    optional("adaptive_decay", &SamplingParams::adaptive_decay);
    optional("min_keep", &SamplingParams::min_keep);
    optional("seed", &SamplingParams::seed);
    optional("logprobs", &SamplingParams::logprobs);
    optional("n_keep", &SamplingParams::n_keep);
    optional("n_discard", &SamplingParams::n_discard);
    optional("n_indent", &SamplingParams::n_indent);
    optional("n_cache_reuse", &SamplingParams::n_cache_reuse);
    optional("max_generation_ms", &SamplingParams::max_generation_ms);
}

void bind_media(nb::module_& m) {
    nb::class_<MediaFile>(m, "MediaFile")
        .def(
            "__init__",
            [](MediaFile* self, std::string kind, std::string place, const nb::bytes& data) {
                new (self)
                    MediaFile{std::move(kind), std::move(place), std::string(data.c_str(), data.size())};
            },
            nb::arg("kind"), nb::arg("place"), nb::arg("data"));
    m.def(
        "media_marker", [] { return media_marker(); },
        "What stands in a message's text where an image, sound or video belongs.");
}

void bind_infill(nb::module_& m) {
    nb::class_<InfillFile>(m, "InfillFile")
        .def(nb::init<std::string, std::string>(), nb::arg("name"), nb::arg("text"));

    nb::class_<InfillPrompt>(m, "InfillPrompt")
        .def(
            nb::init<std::string, std::string, std::vector<InfillFile>>(), nb::arg("prefix"),
            nb::arg("suffix"), nb::arg("extra"));
}

} // namespace

void bind_requests(nb::module_& m) {
    bind_chat(m);
    bind_sampling(m);
    bind_infill(m);
    bind_media(m);
    nb::class_<GenerationRequest>(m, "GenerationRequest")
        .def(nb::init<>())
        .def_rw("sampling", &GenerationRequest::sampling)
        .def_rw("chat", &GenerationRequest::chat, nb::arg().none())
        .def_rw("infill", &GenerationRequest::infill, nb::arg().none())
        .def_rw("prompt", &GenerationRequest::prompt)
        .def_rw("media", &GenerationRequest::media)
        .def_rw("grammar", &GenerationRequest::grammar)
        .def_rw("lora_scales", &GenerationRequest::lora_scales)
        .def_rw("speculative", &GenerationRequest::speculative)
        .def_rw("close_grammar", &GenerationRequest::close_grammar)
        .def_rw("embed", &GenerationRequest::embed)
        .def_rw("stream", &GenerationRequest::stream)
        .def_rw("prompt_progress", &GenerationRequest::prompt_progress);
}

} // namespace xlc
