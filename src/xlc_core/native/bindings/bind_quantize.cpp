#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "support/errors.h"
#include "support/logging.h"

#include "llama.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstdio>
#include <exception>
#include <map>
#include <stdexcept>

namespace xlc {

namespace nb = nanobind;

namespace {

// The types that do not need an importance matrix, by the names that users know.
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

struct QuantizeCancelled : std::runtime_error {
    QuantizeCancelled() : std::runtime_error("the caller gave up") {}
};

void quantize(
    const std::string& source,
    const std::string& target,
    const std::string& ftype,
    int32_t n_threads,
    const std::optional<nb::callable>& progress) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = find_ftype(ftype);
    params.nthread = n_threads;
    params.allow_requantize = true;

    // llama.cpp reports progress only in its log: "[  12/ 272] blk.0.attn_q.weight …".
    std::exception_ptr interrupt;
    const auto watch = [&](const std::string& line) {
        int done = 0;
        int total = 0;
        if (std::sscanf(line.c_str(), "[%d/%d]", &done, &total) != 2 || total <= 0) {
            return;
        }
        GilAcquire gil;
        if (!gil.is_valid()) {
            throw QuantizeCancelled(); // the interpreter ends
        }
        try {
            if (PyErr_CheckSignals() != 0) {
                throw nb::python_error();
            }
            if (progress) {
                (*progress)(static_cast<float>(done) / static_cast<float>(total));
            }
        } catch (const std::exception&) {
            interrupt = std::current_exception();
            throw QuantizeCancelled();
        }
    };
    GilRelease release;
    LogCapture capture(false, watch);
    bool failed = true;
    try {
        failed = llama_model_quantize(source.c_str(), target.c_str(), &params) != 0;
    } catch (const QuantizeCancelled&) { // the caller gets the interrupt below
    }
    if (interrupt) {
        std::rethrow_exception(interrupt);
    }
    if (failed) {
        throw Error(
            ErrorKind::model_load,
            "llama.cpp could not quantise '" + source + "' to " + ftype + ": " + capture.summary());
    }
}

} // namespace

void bind_quantize(nb::module_& m) {
    m.def(
        "quantize", &quantize, nb::arg("source"), nb::arg("target"), nb::arg("ftype"),
        nb::arg("n_threads") = 0, nb::arg("progress") = nb::none(),
        "Write a copy of the model with weights of another type, such as 'Q8_0'. 0 threads: all cores; "
        "progress: called with 0 … 1.");
    m.def(
        "quantization_types",
        [] {
            std::vector<std::string> names;
            names.reserve(ftypes.size());
            for (const auto& [name, type] : ftypes) {
                names.push_back(name);
            }
            return names;
        },
        "Return the names of weight types that quantize() accepts.");
}

} // namespace xlc
