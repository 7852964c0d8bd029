// A GBNF grammar and, after a NUL character, the beginning of an answer, which is ended as the grammar
// allows.
#include "input.h"

#include "constraints/checker.h"
#include "constraints/ending.h"
#include "support/abort_guard.h"
#include "support/logging.h"

#include "llama.h"

namespace {

constexpr int32_t n_tokens = 48;
const llama_vocab* vocab = nullptr;

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    xlc::redirect_llama_logs();
    xlc::install_abort_handler();
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    vocab = llama_model_get_vocab(
        llama_model_load_from_file(xlc::fuzzing::path_from("XLLAMA_FUZZ_MODEL").c_str(), params));
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto [grammar, begin] = xlc::fuzzing::two_texts(data, size);
    xlc::fuzzing::may_refuse([&, &grammar = grammar, &begin = begin] {
        const xlc::Explanation found = xlc::explain(vocab, "gbnf", grammar, begin);
        if (found.n_bytes != begin.size()) {
            return; // what is generated always follows the grammar
        }
        const auto ending = xlc::ending_of(vocab, "gbnf", grammar, begin, n_tokens);
        if (ending && !xlc::accepts(vocab, "gbnf", grammar, begin + *ending)) {
            std::abort();
        }
    });
    return 0;
}
