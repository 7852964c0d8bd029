#include "kernels/kernels.h"

#include "support/errors.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace xlc {

namespace {

// Those that this processor can run, the fastest first.
std::vector<const Kernels*> find_kernels() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    const Kernels* const avx512 = avx512_kernels();
    if (avx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vnni")) {
        found.push_back(avx512);
    }
    const Kernels* const avx2 = avx2_kernels();
    if (avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c")) {
        found.push_back(avx2);
    }
#endif
    return found;
}

const Kernels* choose_kernels() {
    const std::vector<const Kernels*> found = find_kernels();
    const char* const wanted = std::getenv("XLLAMA_KERNELS");
    if (!wanted || !*wanted) {
        return found.empty() ? nullptr : found.front();
    }
    if (std::strcmp(wanted, "none") == 0) {
        return nullptr;
    }
    std::string names;
    for (const Kernels* kernels : found) {
        if (std::strcmp(wanted, kernels->name) == 0) {
            return kernels;
        }
        names += std::string(kernels->name) + ", ";
    }
    throw Error(
        ErrorKind::invalid_request, "the environment variable XLLAMA_KERNELS is " + std::string(wanted) +
                                        ", but this processor runs " + names + "or none of our kernels");
}

} // namespace

const Kernels* best_kernels() {
    static const Kernels* const chosen = choose_kernels();
    return chosen;
}

} // namespace xlc
