// A GBNF grammar and, after a NUL character, a text that is checked against it.
#include "input.h"

#include "constraints/gbnf.h"
#include "support/logging.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    xlc::redirect_llama_logs();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto [grammar, text] = xlc::fuzzing::two_texts(data, size);
    xlc::fuzzing::may_refuse([&, &grammar = grammar, &text = text] {
        const xlc::Explanation found = xlc::gbnf::explain(nullptr, grammar, text);
        if (found.n_bytes > text.size() || (found.accepted && found.n_bytes != text.size())) {
            std::abort();
        }
    });
    return 0;
}
