#include "bindings/bindings.h"

#include "bindings/parser_nodes.h"
#include "bindings/text.h"
#include "generation/rendered_chat.h"
#include "generation/request.h"
#include "loading/engine_params.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <functional>

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
        .def(
            nb::init<
                std::string, std::string, std::string, std::string, std::string, std::vector<ChatToolCall>>(),
            nb::kw_only(), nb::arg("role"), nb::arg("content"), nb::arg("reasoning") = "",
            nb::arg("tool_call_id") = "", nb::arg("name") = "",
            nb::arg("tool_calls") = std::vector<ChatToolCall>())
        .def_ro("role", &ChatMessage::role)
        .def_ro("content", &ChatMessage::content)
        .def_ro("reasoning", &ChatMessage::reasoning)
        .def_ro("tool_call_id", &ChatMessage::tool_call_id)
        .def_ro("name", &ChatMessage::name)
        .def_ro("tool_calls", &ChatMessage::tool_calls);

    nb::class_<ChatTool>(m, "ChatTool")
        .def(
            nb::init<std::string, std::string, std::string, std::string>(), nb::arg("name"),
            nb::arg("description"), nb::arg("parameters"), nb::arg("simple_parameters"));

    using Kwargs = std::map<std::string, std::string>;
    nb::class_<ChatRequest>(m, "ChatRequest")
        .def(
            nb::init<
                std::vector<ChatMessage>, std::vector<ChatTool>, std::string, std::optional<bool>,
                std::optional<bool>, std::optional<int32_t>, std::optional<std::string>,
                std::optional<std::string>, Kwargs, bool, bool>(),
            nb::kw_only(), nb::arg("messages"), nb::arg("tools") = std::vector<ChatTool>(),
            nb::arg("tool_choice") = "auto", nb::arg("parallel_tool_calls") = nb::none(),
            nb::arg("thinking") = nb::none(), nb::arg("thinking_budget") = nb::none(),
            nb::arg("thinking_budget_message") = nb::none(), nb::arg("reasoning_format") = nb::none(),
            nb::arg("template_kwargs") = Kwargs(), nb::arg("parse_special") = false,
            nb::arg("is_part") = false)
        .def_ro("messages", &ChatRequest::messages)
        .def_ro("tools", &ChatRequest::tools)
        .def_ro("tool_choice", &ChatRequest::tool_choice)
        .def_ro("parallel_tool_calls", &ChatRequest::parallel_tool_calls)
        .def_ro("thinking", &ChatRequest::thinking)
        .def_ro("thinking_budget", &ChatRequest::thinking_budget)
        .def_ro("thinking_budget_message", &ChatRequest::thinking_budget_message)
        .def_ro("reasoning_format", &ChatRequest::reasoning_format)
        .def_ro("template_kwargs", &ChatRequest::template_kwargs)
        .def_ro("parse_special", &ChatRequest::parse_special)
        .def_ro("is_part", &ChatRequest::is_part);
}

// The fields of SamplingParams by name. Python gives those that are set as keyword arguments.
class SamplingFields {
public:
    explicit SamplingFields(nb::class_<SamplingParams>& cls) : cls_(cls) {}

    template<typename Value> void add(const char* name, Value SamplingParams::* member) {
        cls_.def_ro(name, member);
        setters()[name] = [member](SamplingParams& params, nb::handle value) {
            params.*member = nb::cast<Value>(value);
        };
    }

    static void set(SamplingParams& params, const std::string& name, nb::handle value) {
        const auto setter = setters().find(name);
        if (setter == setters().end()) {
            throw nb::type_error(("SamplingParams has no field '" + name + "'").c_str());
        }
        try {
            setter->second(params, value);
        } catch (const nb::cast_error&) {
            throw nb::type_error((name + " does not take this value").c_str());
        }
    }

private:
    using Setter = std::function<void(SamplingParams&, nb::handle)>;

    static std::map<std::string, Setter>& setters() {
        static auto* all = new std::map<std::string, Setter>;
        return *all;
    }

    nb::class_<SamplingParams>& cls_;
};

void bind_sampling(nb::module_& m) {
    nb::class_<TokenBias>(m, "TokenBias")
        .def(
            nb::init<std::optional<int32_t>, std::string, float>(), nb::arg("token").none(), nb::arg("text"),
            nb::arg("bias"));

    // The names match SamplingOptions.
    nb::class_<SamplingParams> cls(m, "SamplingParams");
    cls.def("__init__", [](SamplingParams* self, const nb::kwargs& fields) {
        SamplingParams params;
        for (const auto& [name, value] : fields) {
            SamplingFields::set(params, nb::cast<std::string>(name), value);
        }
        new (self) SamplingParams(std::move(params));
    });
    SamplingFields fields(cls);
#define XLC_BIND(type, name, target) fields.add(#name, &SamplingParams::name);
    XLC_SAMPLING_OPTIONS(XLC_BIND)
#undef XLC_BIND
}

void bind_media(nb::module_& m) {
    nb::class_<MediaFile>(m, "MediaFile")
        .def(
            "__init__",
            [](MediaFile* self, std::string kind, std::string place, const nb::bytes& data) {
                new (self) MediaFile{
                    std::move(kind), std::move(place),
                    std::make_shared<const std::string>(data.c_str(), data.size())};
            },
            nb::arg("kind"), nb::arg("place"), nb::arg("data"));
    m.def(
        "media_marker", [] { return media_marker(); },
        "Return the marker that stands in a message's text for an image, sound or video.");
}

void bind_templates(nb::module_& m) {
    m.def(
        "chat_template_names", &chat_template_names,
        "Return the names of the chat templates that llama.cpp has as code.");
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
    bind_templates(m);

    nb::class_<RenderedChat>(m, "RenderedChat", "A chat as the template writes it out.")
        .def_prop_ro("prompt", [](const RenderedChat& self) { return self.prompt(); })
        .def_ro("thinking_start_tag", &RenderedChat::thinking_start_tag)
        .def_ro("thinking_end_tags", &RenderedChat::thinking_end_tags)
        .def_ro("parallel_calls", &RenderedChat::parallel_calls)
        .def_prop_ro(
            "waits_for_calls", [](const RenderedChat& self) { return self.params.grammar_lazy; },
            "Whether the grammar of tool calls begins at a trigger.")
        .def_prop_ro(
            "call_parser", [](const RenderedChat& self) { return parser_nodes(self.params.parser); },
            "The nodes of the parser of answers.");

    nb::class_<GenerationRequest>(
        m, "GenerationRequest", "All that a generation is asked for; nothing changes it after it was made.")
        .def(
            "__init__",
            [](GenerationRequest* self, SamplingParams sampling, std::shared_ptr<RenderedChat> chat,
               std::optional<InfillPrompt> infill, std::string prompt, bool parse_special,
               std::vector<MediaFile> media, std::string grammar, bool grammar_waits,
               std::string grammar_trigger, std::vector<std::string> text_ends,
               std::vector<std::string> call_openings, std::vector<float> lora_scales, bool speculative,
               bool close_grammar, bool embed, bool stream, bool prompt_progress) {
                new (self) GenerationRequest{
                    std::move(sampling),
                    std::move(chat),
                    std::move(infill),
                    std::move(prompt),
                    parse_special,
                    std::move(media),
                    std::move(grammar),
                    grammar_waits,
                    std::move(grammar_trigger),
                    std::move(text_ends),
                    std::move(call_openings),
                    std::move(lora_scales),
                    speculative,
                    close_grammar,
                    embed,
                    stream,
                    prompt_progress};
            },
            nb::kw_only(), nb::arg("sampling"), nb::arg("chat") = nb::none(), nb::arg("infill") = nb::none(),
            nb::arg("prompt") = "", nb::arg("parse_special") = true,
            nb::arg("media") = std::vector<MediaFile>(), nb::arg("grammar") = "",
            nb::arg("grammar_waits") = false, nb::arg("grammar_trigger") = "",
            nb::arg("text_ends") = std::vector<std::string>(),
            nb::arg("call_openings") = std::vector<std::string>(),
            nb::arg("lora_scales") = std::vector<float>(), nb::arg("speculative") = true,
            nb::arg("close_grammar") = true, nb::arg("embed") = false, nb::arg("stream") = false,
            nb::arg("prompt_progress") = false)
        .def_ro("sampling", &GenerationRequest::sampling)
        .def_prop_ro(
            "chat",
            [](const GenerationRequest& self) { return std::const_pointer_cast<RenderedChat>(self.chat); })
        .def_ro("prompt", &GenerationRequest::prompt)
        .def_ro("parse_special", &GenerationRequest::parse_special)
        .def_ro("grammar", &GenerationRequest::grammar)
        .def_ro("grammar_waits", &GenerationRequest::grammar_waits)
        .def_ro("grammar_trigger", &GenerationRequest::grammar_trigger)
        .def_ro("text_ends", &GenerationRequest::text_ends)
        .def_ro("call_openings", &GenerationRequest::call_openings)
        .def_ro("lora_scales", &GenerationRequest::lora_scales)
        .def_ro("speculative", &GenerationRequest::speculative)
        .def_ro("close_grammar", &GenerationRequest::close_grammar)
        .def_ro("embed", &GenerationRequest::embed)
        .def_ro("stream", &GenerationRequest::stream)
        .def_ro("prompt_progress", &GenerationRequest::prompt_progress)
        .def_prop_ro("n_media", [](const GenerationRequest& self) { return self.media.size(); });
}

} // namespace xlc
