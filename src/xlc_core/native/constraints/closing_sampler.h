// A grammar's sampler that sees to it that the answer is complete when its tokens run out.
#pragma once

#include "constraints/closing.h"
#include "llama.h"

#include <memory>

namespace xlc {

// Takes the grammar over. While there are tokens enough it is the grammar's sampler; from where an ending
// would just fit it refuses tokens after which none would. An ending that is not found within the budget
// leaves the answer to be cut off, as without this.
llama_sampler*
closing_sampler(llama_sampler* grammar, const llama_vocab* vocab, std::shared_ptr<Closing> closing);

// The grammar's own sampler inside, or the sampler itself.
const llama_sampler* grammar_inside(const llama_sampler* sampler);

} // namespace xlc
