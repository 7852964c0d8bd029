// Which threads may round the products of some rows in another way than those of one.
//
// From some rows on our kernels are faster than ggml's products of rows, and more precise. But requests that
// generate share their steps, and drafts are checked several at a time: a text should not depend on that. So
// only threads that read texts take our kernels for so few rows.
#pragma once

#include <cstdint>

namespace xlc {

// With fewer rows than this, products are rounded as those of one row, unless the threads allow otherwise.
// More requests seldom generate together, and drafts are shorter.
constexpr int64_t most_rows_of_step = 32;

void allow_batch_rounding(const void* threads);
void forget_batch_rounding(const void* threads);

// Whether products of so many rows may be rounded in another way than those of one, on these threads.
bool allows_batch_rounding(int64_t n_rows, const void* threads);

} // namespace xlc
