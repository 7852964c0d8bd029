#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/text.h"
#include "loading/model_file.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/vector.h>

namespace xlc {

namespace nb = nanobind;

void bind_model_file(nb::module_& m) {
    nb::class_<ModelFile>(m, "ModelFile", "The metadata of a GGUF file, read without its weights.")
        .def_ro("path", &ModelFile::path)
        .def_ro("architecture", &ModelFile::architecture)
        .def_ro("names", &ModelFile::names)
        .def_ro("prompts", &ModelFile::prompts)
        .def_ro("chat_template", &ModelFile::chat_template, "Empty when the file does not have one.")
        .def_ro("pooling", &ModelFile::pooling)
        .def_ro("causal", &ModelFile::causal)
        .def_ro("shares_cache", &ModelFile::shares_cache)
        .def_ro("n_window", &ModelFile::n_window)
        .def_prop_ro("has_chat_template", [](const ModelFile& self) { return !self.chat_template.empty(); })
        .def_ro("has_rank_head", &ModelFile::has_rank_head)
        .def_ro("sees", &ModelFile::sees)
        .def_ro("hears", &ModelFile::hears)
        .def_ro("n_ctx_train", &ModelFile::n_ctx_train)
        .def_ro("file_bytes", &ModelFile::file_bytes)
        .def_prop_ro("kv_bytes_per_token", &ModelFile::kv_bytes_per_token);
    m.def(
        "read_model_file", &read_model_file, nb::arg("path"), nb::call_guard<GilRelease>(),
        "Read a GGUF file's metadata. Raises ModelNotFoundError or ModelLoadError.");
}

} // namespace xlc
