#include "bindings.h"

#include "abort_guard.h"
#include "errors.h"
#include "logging.h"

#include "llama.h"

#include <nanobind/stl/string.h>

#include <map>

namespace xlc {

namespace nb = nanobind;

namespace {

// The types that need no importance matrix, by the names that users know.
const std::map<std::string, llama_ftype> ftypes = {
    {"F32", LLAMA_FTYPE_ALL_F32},          {"F16", LLAMA_FTYPE_MOSTLY_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16},     {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},     {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},     {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},     {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S},
    {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M}, {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S}, {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S}, {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},     {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS},
};

llama_ftype find_ftype(const std::string& name) {
    const auto found = ftypes.find(name);
    if (found != ftypes.end()) {
        return found->second;
    }
    std::string known;
    for (const auto& [known_name, type] : ftypes) {
        known += (known.empty() ? "" : ", ") + known_name;
    }
    throw Error(ErrorKind::invalid_request, "unknown quantisation '" + name + "'; choose one of " + known);
}

void quantize(
    const std::string& source, const std::string& target, const std::string& ftype, int32_t n_threads) {
    redirect_llama_logs();
    install_abort_handler();
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = find_ftype(ftype);
    params.nthread = n_threads;
    params.allow_requantize = true;
    AbortGuard guard;
    LogCapture capture;
    if (llama_model_quantize(source.c_str(), target.c_str(), &params) != 0) {
        throw Error(
            ErrorKind::model_load,
            "llama.cpp could not quantise '" + source + "' to " + ftype + ": " + capture.summary());
    }
}

} // namespace

void bind_quantize(nb::module_& m) {
    m.def(
        "quantize", &quantize, nb::arg("source"), nb::arg("target"), nb::arg("ftype"),
        nb::arg("n_threads") = 0, nb::call_guard<nb::gil_scoped_release>(),
        "Write the model again with weights of another type, such as 'Q8_0'. 0 threads: all cores.");
}

} // namespace xlc
