// Constraints: the path of llguidance, and checks of constraints and texts, with or without a model file's
// vocabulary.
#include "bindings/gil.h"
#include "bindings/text.h"
#include "constraints/checker.h"
#include "constraints/ending.h"
#include "constraints/llg_tokenizer.h"
#include "constraints/llguidance_api.h"
#include "constraints/mask_timing.h"
#include "loading/loading_errors.h"
#include "support/errors.h"
#include "support/logging.h"

#include "llama.h"

#include <memory>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

namespace xlc {

namespace nb = nanobind;

namespace {

// The vocabulary of a GGUF file, without its weights.
class VocabFile {
public:
    static std::unique_ptr<VocabFile> open(const std::string& path) {
        llama_model_params params = llama_model_default_params();
        params.vocab_only = true;
        params.n_gpu_layers = 0;
        const LogCapture capture;
        std::unique_ptr<llama_model, decltype(&llama_model_free)> model(
            reading_file(path, [&] { return llama_model_load_from_file(path.c_str(), params); }),
            llama_model_free);
        if (!model) {
            throw Error(
                ErrorKind::model_load, "'" + path + "' does not have a vocabulary that llama.cpp can read (" +
                                           capture.summary() + "); is it a GGUF file?");
        }
        return std::unique_ptr<VocabFile>(new VocabFile(model.release()));
    }

    ~VocabFile() {
        TokenizerRegistry::forget(vocab());
        llama_model_free(model_);
    }

    VocabFile(const VocabFile&) = delete;
    VocabFile& operator=(const VocabFile&) = delete;

    const llama_vocab* vocab() const { return llama_model_get_vocab(model_); }

private:
    explicit VocabFile(llama_model* model) : model_(model) {}

    llama_model* model_;
};

const llama_vocab* vocab_of(const VocabFile* file) {
    return file != nullptr ? file->vocab() : nullptr;
}

// Bytes, because a token's text may be half a character.
std::vector<nb::bytes> expected_of(const Explanation& explanation) {
    std::vector<nb::bytes> expected;
    expected.reserve(explanation.expected.size());
    for (const std::string& token : explanation.expected) {
        expected.emplace_back(token.data(), token.size());
    }
    return expected;
}

} // namespace

void bind_constraints(nb::module_& m) {
    nb::class_<Explanation>(m, "Explanation", "Where a text leaves its constraint.")
        .def_ro("accepted", &Explanation::accepted, "Whether the whole text satisfies the constraint.")
        .def_ro(
            "complete", &Explanation::complete, "Whether the allowed part alone satisfies the constraint.")
        .def_ro("n_bytes", &Explanation::n_bytes, "Length of the allowed part in UTF-8 bytes.")
        .def_prop_ro(
            "expected", &expected_of,
            "Up to 64 of the tokens (without a vocabulary: bytes) that may follow it; none if the text is "
            "accepted. A control token begins with the byte FF.");

    nb::class_<VocabFile>(m, "VocabFile", "The vocabulary of a GGUF file, without its weights.")
        .def_static(
            "open", &VocabFile::open, nb::arg("path"), nb::call_guard<GilRelease>(),
            "Read the vocabulary. Raises ModelLoadError.")
        .def(
            "control_token",
            [](const VocabFile& self, const std::string& text) { return control_token(self.vocab(), text); },
            nb::arg("text"), nb::call_guard<GilRelease>(),
            "Return the number of the control token with this text, or -1.");

    m.def(
        "set_llguidance_path", &llg::set_library_path, nb::arg("path"),
        "Set the path of llguidance's library; it is opened when the first constraint needs it.");
    m.def(
        "check_constraint",
        [](const std::string& kind, const std::string& data, const VocabFile* vocab) {
            check_constraint(vocab_of(vocab), kind, data);
        },
        nb::arg("kind"), nb::arg("data"), nb::arg("vocab") = nb::none(), nb::call_guard<GilRelease>(),
        "Raise ConstraintError when the constraint is malformed, unsupported or cannot be satisfied.");
    m.def(
        "accepts",
        [](const std::string& kind, const std::string& data, std::string_view text, const VocabFile* vocab) {
            return accepts(vocab_of(vocab), kind, data, text);
        },
        nb::arg("kind"), nb::arg("data"), nb::arg("text"), nb::arg("vocab") = nb::none(),
        nb::call_guard<GilRelease>(),
        "Return whether the whole text satisfies the constraint. Raises ConstraintError.");
    m.def(
        "explain",
        [](const std::string& kind, const std::string& data, std::string_view text, const VocabFile* vocab) {
            return explain(vocab_of(vocab), kind, data, text);
        },
        nb::arg("kind"), nb::arg("data"), nb::arg("text"), nb::arg("vocab") = nb::none(),
        nb::call_guard<GilRelease>(),
        "Return how far the text satisfies the constraint, and what may follow. Raises ConstraintError.");
    m.def(
        "ending",
        [](const std::string& kind, const std::string& data, const std::string& text, const VocabFile& vocab,
           int32_t max_tokens) -> std::optional<nb::bytes> {
            std::optional<std::string> found;
            {
                const GilRelease released;
                found = ending_of(vocab.vocab(), kind, data, text, max_tokens);
            }
            return found ? std::optional(nb::bytes(found->data(), found->size())) : std::nullopt;
        },
        nb::arg("kind"), nb::arg("data"), nb::arg("text"), nb::arg("vocab"), nb::arg("max_tokens") = 256,
        "Return the text that is written after a text when the tokens run out; None when no legal ending of "
        "at most max_tokens is found. Raises ConstraintError.");
    m.def(
        "time_masks",
        [](const std::string& kind, const std::string& data, std::string_view text, const VocabFile& vocab,
           size_t every) { return time_masks(vocab.vocab(), kind, data, text, every); },
        nb::arg("kind"), nb::arg("data"), nb::arg("text"), nb::arg("vocab"), nb::arg("every") = 1,
        nb::call_guard<GilRelease>(),
        "For benchmarks: return the seconds for the mask before every nth token of a text, and at its end. "
        "Raises ConstraintError.");
    m.def(
        "schema_to_gbnf", &schema_to_gbnf, nb::arg("schema"), nb::call_guard<GilRelease>(),
        "For benchmarks: return the GBNF that llama.cpp creates for a JSON schema. Raises ConstraintError.");
}

} // namespace xlc
