#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "engine/engine.h"
#include "loading/memory.h"

#include <nanobind/stl/vector.h>

namespace xlc {

namespace nb = nanobind;

void bind_memory(nb::module_& m) {
    nb::class_<DeviceMemory>(m, "DeviceMemory", "Memory in use on one device, in bytes.")
        .def_ro("device", &DeviceMemory::device)
        .def_ro("model", &DeviceMemory::model)
        .def_ro("context", &DeviceMemory::context)
        .def_ro("compute", &DeviceMemory::compute)
        .def_ro("free", &DeviceMemory::free)
        .def_ro("total", &DeviceMemory::total);
    nb::class_<EngineMemory>(m, "EngineMemory", "Memory that an engine uses now on each device.")
        .def_ro("devices", &EngineMemory::devices)
        .def_ro("prompt_cache", &EngineMemory::prompt_cache)
        .def_ro("paused", &EngineMemory::paused)
        .def_ro("asleep", &EngineMemory::asleep);
    nb::class_<MemoryEstimate>(m, "MemoryEstimate", "Memory that an engine would use once it is open.")
        .def_ro("devices", &MemoryEstimate::devices)
        .def_ro("n_ctx", &MemoryEstimate::n_ctx)
        .def_ro("n_ctx_total", &MemoryEstimate::n_ctx_total)
        .def_ro("n_parallel", &MemoryEstimate::n_parallel);
    m.def(
        "estimate_memory", &estimate_engine_memory, nb::arg("params"), nb::call_guard<GilRelease>(),
        "Return the memory that an engine would use, without reading the weights. Raises the errors of "
        "opening.");
}

} // namespace xlc
