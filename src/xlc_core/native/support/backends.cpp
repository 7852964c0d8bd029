#include "support/backends.h"

#include "support/cpu_backend.h"
#include "support/cpu_traits.h"

#include <ggml-backend.h>

#include <stdexcept>
#include <string>

#if defined(XLC_PORTABLE)
#include "support/logging.h"

#include <dlfcn.h>

#include <filesystem>
#include <memory>
#elif defined(__x86_64__)
#include "support/processor.h"

#include <ggml-cpu.h>

#include <array>
#endif

namespace xlc {

namespace {

CpuLibraries libraries;

#if defined(XLC_PORTABLE)

namespace fs = std::filesystem;

constexpr const char* prefix = "libggml-cpu-";
constexpr const char* suffix = ".so";

fs::path own_folder() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(&load_backends), &info) == 0 || info.dli_fname == nullptr) {
        throw std::runtime_error("the folder of this module is not known");
    }
    return fs::absolute(info.dli_fname).parent_path();
}

// The score of a library for this processor. The function that computes it is compiled for all processors.
int score_of(const fs::path& path) {
    const std::unique_ptr<void, int (*)(void*)> library(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), dlclose);
    if (!library) {
        throw std::runtime_error(dlerror());
    }
    void* const score = dlsym(library.get(), "ggml_backend_score");
    return score ? reinterpret_cast<int (*)()>(score)() : 0;
}

void load_cpu_library() {
    const fs::path folder = own_folder();
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        const std::string file = entry.path().filename().string();
        if (file.rfind(prefix, 0) != 0 || entry.path().extension() != suffix) {
            continue;
        }
        const std::string name = entry.path().stem().string().substr(std::string(prefix).size());
        const int score = score_of(entry.path());
        libraries.scores[name] = score;
        const int best = libraries.chosen.empty() ? 0 : libraries.scores.at(libraries.chosen);
        if (score > best) {
            libraries.chosen = name;
        }
    }
    const fs::path best = folder / (prefix + libraries.chosen + suffix);
    if (libraries.chosen.empty() || !ggml_backend_load(best.c_str())) {
        throw std::runtime_error(
            "no library of ggml's CPU backend in " + folder.string() + " runs on this processor");
    }
}

#elif defined(__x86_64__)

// The only CPU backend is in the module, compiled for one kind of processor. On another one it would end the
// process. These functions of ggml's know what the compiler was told, and compute nothing.
void check_processor() {
    struct Compiled {
        const char* name;
        int (*in)();
        InstructionSet set;
    };
    const std::array<Compiled, 11> all = {{
        {"AVX", ggml_cpu_has_avx, InstructionSet::avx},
        {"AVX2", ggml_cpu_has_avx2, InstructionSet::avx2},
        {"FMA", ggml_cpu_has_fma, InstructionSet::fma},
        {"F16C", ggml_cpu_has_f16c, InstructionSet::f16c},
        {"BMI2", ggml_cpu_has_bmi2, InstructionSet::bmi2},
        {"AVX-VNNI", ggml_cpu_has_avx_vnni, InstructionSet::avx_vnni},
        {"AVX-512", ggml_cpu_has_avx512, InstructionSet::avx512},
        {"AVX-512 VBMI", ggml_cpu_has_avx512_vbmi, InstructionSet::avx512_vbmi},
        {"AVX-512 VNNI", ggml_cpu_has_avx512_vnni, InstructionSet::avx512_vnni},
        {"AVX-512 BF16", ggml_cpu_has_avx512_bf16, InstructionSet::avx512_bf16},
        {"AMX", ggml_cpu_has_amx_int8, InstructionSet::amx_int8},
    }};
    std::string missing;
    for (const Compiled& one : all) {
        if (one.in() != 0 && !runs(one.set)) {
            missing += (missing.empty() ? "" : ", ") + std::string(one.name);
        }
    }
    if (!missing.empty()) {
        throw std::runtime_error(
            "this build of xllama is for processors with instructions that this one does not have (" +
            missing +
            "); build it on this machine, or on Linux install the wheel, which is for all processors");
    }
}

#endif

} // namespace

void load_backends() {
#if defined(XLC_PORTABLE)
    load_cpu_library();
#elif defined(__x86_64__)
    check_processor();
#endif
    set_cpu_traits(cpu_backend().type_traits);
}

const CpuLibraries& cpu_libraries() {
    return libraries;
}

std::string ggml_contract() {
    return XLC_GGML_CONTRACT;
}

std::string load_backend(const std::string& path) {
#if defined(XLC_PORTABLE)
    const LogCapture capture(/* swallow */ true);
    if (ggml_backend_load(path.c_str())) {
        return "";
    }
    const std::string reason = capture.summary();
    return reason.empty() ? "ggml could not load it" : reason;
#else
    return path + " needs the libraries of xllama's wheel for Linux, which this build does not have";
#endif
}

std::vector<std::string> cpu_features() {
    std::vector<std::string> names;
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t backend = cpu ? ggml_backend_dev_backend_reg(cpu) : nullptr;
    auto* const get_features = reinterpret_cast<ggml_backend_get_features_t>(
        backend ? ggml_backend_reg_get_proc_address(backend, "ggml_backend_get_features") : nullptr);
    for (const auto* feature = get_features ? get_features(backend) : nullptr; feature && feature->name;
         ++feature) {
        names.emplace_back(feature->name);
    }
    return names;
}

} // namespace xlc
