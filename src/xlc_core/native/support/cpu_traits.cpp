#include "support/cpu_traits.h"

namespace xlc {

namespace {

decltype(&ggml_get_type_traits_cpu) current = nullptr;

} // namespace

void set_cpu_traits(decltype(&ggml_get_type_traits_cpu) traits) {
    current = traits;
}

const ggml_type_traits_cpu* cpu_traits(ggml_type type) {
    return current(type);
}

} // namespace xlc
