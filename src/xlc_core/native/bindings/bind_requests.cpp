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

    // The names match SamplingOptions: Python copies the fields that are set by name.
    nb::class_<SamplingParams> cls(m, "SamplingParams");
    cls.def(nb::init<>());
#define XLC_BIND(type, name, target) cls.def_rw(#name, &SamplingParams::name, nb::arg().none());
    XLC_SAMPLING_OPTIONS(XLC_BIND)
#undef XLC_BIND
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
        "Return the marker that stands in a message's text for an image, sound or video.");
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
