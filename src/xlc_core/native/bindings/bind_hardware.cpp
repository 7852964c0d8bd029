#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "support/backends.h"
#include "support/devices.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>

namespace xlc {

using namespace nanobind::literals;

void bind_hardware(nanobind::module_& m) {
    nanobind::class_<Device>(m, "Device", "A device that computes, as ggml's backends report it.")
        .def_ro("name", &Device::name, "Its name, such as CUDA0.")
        .def_ro(
            "option", &Device::option, "The value of the option `device` that chooses it, such as cuda:0.")
        .def_ro("description", &Device::description, "The name of the processor or card.")
        .def_ro("backend", &Device::backend, "The backend that computes on it, such as CUDA.")
        .def_ro("is_gpu", &Device::is_gpu, "Whether models can be put on it; else it is the CPU or helps it.")
        .def_ro("free_bytes", &Device::n_free_bytes, "Its free memory.")
        .def_ro("total_bytes", &Device::n_bytes, "Its memory.");
    m.def("devices", &find_devices, nanobind::call_guard<GilRelease>(), "Return all devices, the CPU too.");
    m.def(
        "choose_devices",
        [](const std::string& wanted) {
            std::vector<std::string> names;
            for (ggml_backend_dev_t device : choose_devices(wanted)) {
                names.emplace_back(ggml_backend_dev_name(device));
            }
            return names;
        },
        "device"_a,
        "Return the names of the GPUs that a value of the option `device` means; none: the CPU computes.");
    m.def(
        "physical_cores", &physical_cores,
        "Return the number of the CPU's cores; on Macs of the fast ones. With MinGW it is estimated.");
    m.def(
        "ggml_contract", &ggml_contract,
        "Return what the library of another backend must have in common with this build.");
    m.def(
        "load_backend", &load_backend, "path"_a, nanobind::call_guard<GilRelease>(),
        "Load the library of another backend, before any model. Return why that failed; empty if it did "
        "not.");
    m.def(
        "cpu_libraries", [] { return std::pair(cpu_libraries().chosen, cpu_libraries().scores); },
        "Return the name of the CPU library that was loaded, and the scores of all for this processor. With "
        "an empty name it is linked.");
    m.def(
        "cpu_features", &cpu_features,
        "Return the instruction sets that ggml's CPU backend was compiled for, and other features.");
}

} // namespace xlc
