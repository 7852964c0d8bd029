// ggml's gguf.cpp, which refuses files with values that llama.cpp would use without a check
// (support/gguf_checks.h). Every GGUF file is read here: models, parts of models, heads, projectors,
// adapters.

#include "support/gguf_checks.h"

#include "gguf.h"

#include <cstdio>

gguf_context* xlc_gguf_init_from_file_ptr(FILE* file, gguf_init_params params);
gguf_context* xlc_gguf_init_from_file(const char* fname, gguf_init_params params);
#define gguf_init_from_file_ptr xlc_gguf_init_from_file_ptr
#define gguf_init_from_file xlc_gguf_init_from_file
#include "ggml/src/gguf.cpp"
#undef gguf_init_from_file_ptr
#undef gguf_init_from_file

namespace {

gguf_context* checked(gguf_context* file, const gguf_init_params& params) {
    if (file == nullptr) {
        return nullptr;
    }
    const std::string fault = xlc::find_fault(file);
    if (fault.empty()) {
        return file;
    }
    GGML_LOG_ERROR("the file %s\n", fault.c_str());
    gguf_free(file);
    if (params.ctx != nullptr) {
        ggml_free(*params.ctx);
        *params.ctx = nullptr;
    }
    return nullptr;
}

} // namespace

gguf_context* gguf_init_from_file_ptr(FILE* file, gguf_init_params params) {
    return checked(xlc_gguf_init_from_file_ptr(file, params), params);
}

gguf_context* gguf_init_from_file(const char* fname, gguf_init_params params) {
    return checked(xlc_gguf_init_from_file(fname, params), params);
}
