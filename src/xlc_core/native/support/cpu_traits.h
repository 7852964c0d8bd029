// How ggml's CPU backend multiplies rows of each type. The backend can be a library that is loaded at run
// time (support/backends.h), so its function is set then.
#pragma once

#include <ggml-cpu.h>

namespace xlc {

void set_cpu_traits(decltype(&ggml_get_type_traits_cpu) traits);
const ggml_type_traits_cpu* cpu_traits(ggml_type type);

} // namespace xlc
