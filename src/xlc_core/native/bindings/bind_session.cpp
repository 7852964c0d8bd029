#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "overrides/access/slots.h"

#include "llama.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>

namespace xlc {

namespace nb = nanobind;

void bind_session(nb::module_& m) {
    using Bytes = nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>;
    using GivenBytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    nb::class_<SlotState>(m, "SlotState", "The state of a slot: one conversation.")
        .def(
            "__init__",
            [](SlotState* self, int32_t n_tokens, const GivenBytes& bytes) {
                GilRelease release;
                new (self) SlotState{n_tokens, {bytes.data(), bytes.data() + bytes.size()}};
            },
            nb::arg("n_tokens"), nb::arg("bytes"))
        .def_ro("n_tokens", &SlotState::n_tokens)
        .def_prop_ro(
            "bytes",
            [](const SlotState& self) {
                return Bytes(self.bytes.data(), {self.bytes.size()}, nb::find(&self));
            },
            "The slot's tokens and what the model has computed for them.");
    m.def(
        "llama_cpp_version",
        [] {
            return std::string(XLC_LLAMA_CPP_VERSION) + ", state format " +
                   std::to_string(LLAMA_STATE_SEQ_VERSION);
        },
        "Return the version of llama.cpp and of its format for a slot's state.");
}

} // namespace xlc
