// Which threads may round the products of some rows in another way than those of one.
//
// From some rows on our kernels are faster than ggml's products of rows, and more precise. But requests that
// generate share their steps, and drafts are checked several at a time: a text should not depend on that. So
// only threads that read texts take our kernels for so few rows.
#pragma once

namespace xlc {

void allow_batch_rounding(const void* threads);
void forget_batch_rounding(const void* threads);
bool allows_batch_rounding(const void* threads);

} // namespace xlc
