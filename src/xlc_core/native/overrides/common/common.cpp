// llama.cpp's common/common.cpp, but recurrent states keep snapshots only with one sequence. With several, a
// later part of a batch may move the state of a sequence whose drafts an earlier part has computed, and its
// snapshots stay behind: when drafts are then rejected, the answer continues from the state of another
// sequence. Without snapshots the server copies the state before each draft. And parameters are fitted to
// memory with heads (overrides/access/fitting.h).

#include "overrides/access/fitting.h"

#include "common.h"

namespace {

bool may_keep_snapshots(const common_params& params) {
    const auto n_kept = static_cast<int32_t>(params.speculative.need_n_rs_seq()) + 1; // never in two parts
    return params.n_parallel == 1 && params.n_ubatch > n_kept;
}

} // namespace

#define common_fit_params xlc::fit_params
// A factor after the call, which is the whole value of its statement (cmake/expectations.cmake).
#define need_n_rs_seq() need_n_rs_seq() * (may_keep_snapshots(params) ? 1u : 0u)
#include "common/common.cpp"
