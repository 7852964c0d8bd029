// A sampler around a grammar's sampler. It ensures that the answer is complete when its tokens run out.
#pragma once

#include "constraints/closing.h"
#include "llama.h"

#include <memory>

namespace xlc {

// Takes ownership of the grammar's sampler. While enough tokens are left, it only calls that sampler. When
// the tokens just suffice for an ending, it refuses each token after which no ending would fit. If it finds
// no ending within the budget, the answer is cut off, as it would be without this sampler.
llama_sampler*
closing_sampler(llama_sampler* grammar, const llama_vocab* vocab, std::shared_ptr<Closing> closing);

// Return the grammar's sampler inside a closing sampler, or the given sampler itself.
const llama_sampler* grammar_inside(const llama_sampler* sampler);

} // namespace xlc
