#include "bindings/bindings.h"

#include "bindings/gil_free_wait.h"
#include "bindings/text.h"
#include "generation/generation.h"
#include "generation/generator.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

namespace xlc {

void bind_generation(nb::module_& m) {
    nb::class_<Generation> cls(
        m, "Generation", nb::type_slots(waitable_slots<Generation>), "One running request.");
    def_gil_free_wait(cls);
    cls.def(
           "take",
           [](Generation& self) {
               self.home().check();
               return self.take();
           },
           "Return the events since the last call, perhaps none. Raises the error that ended the request.")
        .def(
            "stop_thinking", &Generation::stop_thinking,
            "End the model's thinking, so that it answers. From any thread.")
        .def_prop_ro(
            "finished",
            [](const Generation& self) {
                self.home().check();
                return self.finished();
            },
            "Whether all events have been taken.");

    nb::class_<GeneratorMetrics>(m, "GeneratorMetrics")
        .def_ro("n_running", &GeneratorMetrics::n_running)
        .def_ro("n_waiting", &GeneratorMetrics::n_waiting)
        .def_ro("n_paused", &GeneratorMetrics::n_paused)
        .def_ro("n_pauses", &GeneratorMetrics::n_pauses)
        .def_ro("n_prompt_tokens", &GeneratorMetrics::n_prompt_tokens)
        .def_ro("prompt_seconds", &GeneratorMetrics::prompt_seconds)
        .def_ro("n_cached_tokens", &GeneratorMetrics::n_cached_tokens)
        .def_ro("n_generated_tokens", &GeneratorMetrics::n_generated_tokens)
        .def_ro("generation_seconds", &GeneratorMetrics::generation_seconds)
        .def_ro("n_draft_tokens", &GeneratorMetrics::n_draft_tokens)
        .def_ro("n_draft_accepted", &GeneratorMetrics::n_draft_accepted);
}

} // namespace xlc
