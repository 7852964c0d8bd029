#include "bindings/bindings.h"

#include "support/backends.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>

namespace xlc {

void bind_hardware(nanobind::module_& m) {
    m.def(
        "cpu_libraries", [] { return std::pair(cpu_libraries().chosen, cpu_libraries().scores); },
        "Return the name of the CPU library that was loaded, and the scores of all for this processor. An "
        "empty "
        "name: it is linked.");
    m.def(
        "cpu_features", &cpu_features,
        "Return the instruction sets that ggml's CPU backend was compiled for, and other features.");
}

} // namespace xlc
