#include "kernels/kernels.h"

#include "support/errors.h"
#include "support/processor.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace xlc {

namespace {

// Those that this processor can run, the fastest first.
std::vector<const Kernels*> find_kernels() {
    std::vector<const Kernels*> found;
    const bool avx2 = runs(InstructionSet::avx2) && runs(InstructionSet::fma) && runs(InstructionSet::f16c);
    const bool avx512 = avx2 && runs(InstructionSet::avx512) && runs(InstructionSet::avx512_bw) &&
                        runs(InstructionSet::avx512_vnni);
    if (avx512 && avx512_kernels()) {
        found.push_back(avx512_kernels());
    }
    if (avx2 && avx2_kernels()) {
        found.push_back(avx2_kernels());
    }
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
