#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "support/backends.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>

namespace xlc {

void bind_hardware(nanobind::module_& m) {
    nanobind::class_<Device>(m, "Device", "A device that computes, as ggml's backends report it.")
        .def_ro("name", &Device::name, "Its name, such as CUDA0.")
        .def_ro("description", &Device::description, "The name of the processor or card.")
        .def_ro("backend", &Device::backend, "The backend that computes on it, such as CUDA.")
        .def_ro("free_bytes", &Device::n_free_bytes, "Its free memory.")
        .def_ro("total_bytes", &Device::n_bytes, "Its memory.");
    m.def("devices", &find_devices, nanobind::call_guard<GilRelease>(), "Return all devices, the CPU too.");
    m.def(
        "cpu_libraries", [] { return std::pair(cpu_libraries().chosen, cpu_libraries().scores); },
        "Return the name of the CPU library that was loaded, and the scores of all for this processor. With "
        "an empty name it is linked.");
    m.def(
        "cpu_features", &cpu_features,
        "Return the instruction sets that ggml's CPU backend was compiled for, and other features.");
}

} // namespace xlc
