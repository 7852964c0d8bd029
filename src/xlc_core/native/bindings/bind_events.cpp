#include "bindings/bindings.h"

#include "bindings/text.h"
#include "generation/event.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

namespace xlc {

namespace nb = nanobind;

namespace {

// Reads the result's own memory and keeps the result alive.
using Vector = nb::ndarray<nb::numpy, const float, nb::ndim<1>>;

} // namespace

void bind_events(nb::module_& m) {
    nb::class_<TokenProbability>(m, "TokenProbability")
        .def_ro("token", &TokenProbability::token)
        .def_ro("text", &TokenProbability::text)
        .def_prop_ro(
            "bytes",
            [](const TokenProbability& self) { return nb::bytes(self.bytes.data(), self.bytes.size()); })
        .def_ro("logprob", &TokenProbability::logprob)
        .def_ro("top", &TokenProbability::top);

    nb::class_<ChoiceResult>(m, "ChoiceResult")
        .def_ro("text", &ChoiceResult::text)
        .def_ro("reasoning", &ChoiceResult::reasoning)
        .def_ro("tool_calls", &ChoiceResult::tool_calls)
        .def_ro("finish_reason", &ChoiceResult::finish_reason)
        .def_ro("stop_sequence", &ChoiceResult::stop_sequence)
        .def_ro("logprobs", &ChoiceResult::logprobs)
        .def_prop_ro(
            "embedding",
            [](const ChoiceResult& self) {
                return Vector(self.embedding.data(), {self.embedding.size()}, nb::find(&self));
            })
        .def_ro("n_prompt_tokens", &ChoiceResult::n_prompt_tokens)
        .def_ro("n_cached_tokens", &ChoiceResult::n_cached_tokens)
        .def_ro("n_generated_tokens", &ChoiceResult::n_generated_tokens)
        .def_ro("n_reasoning_tokens", &ChoiceResult::n_reasoning_tokens)
        .def_ro("n_processed_tokens", &ChoiceResult::n_processed_tokens)
        .def_ro("prompt_seconds", &ChoiceResult::prompt_seconds)
        .def_ro("generation_seconds", &ChoiceResult::generation_seconds)
        .def_ro("n_draft_tokens", &ChoiceResult::n_draft_tokens)
        .def_ro("n_draft_accepted", &ChoiceResult::n_draft_accepted)
        .def_ro("n_draft_steps", &ChoiceResult::n_draft_steps);

    nb::enum_<Event::Kind>(m, "EventKind")
        .value("text", Event::Kind::text)
        .value("reasoning", Event::Kind::reasoning)
        .value("tool_call", Event::Kind::tool_call)
        .value("prompt_progress", Event::Kind::prompt_progress)
        .value("choice_finished", Event::Kind::choice_finished);

    nb::class_<Event>(m, "Event")
        .def_ro("kind", &Event::kind)
        .def_ro("choice", &Event::choice)
        .def_ro("text", &Event::text)
        .def_ro("call_index", &Event::call_index)
        .def_ro("call_id", &Event::call_id)
        .def_ro("call_name", &Event::call_name)
        .def_ro("logprobs", &Event::logprobs)
        .def_ro("n_prompt_tokens", &Event::n_prompt_tokens)
        .def_ro("n_cached", &Event::n_cached)
        .def_ro("n_processed", &Event::n_processed)
        .def_ro("seconds", &Event::seconds)
        .def_prop_ro(
            "result", [](const Event& self) { return std::const_pointer_cast<ChoiceResult>(self.result); });
}

} // namespace xlc
