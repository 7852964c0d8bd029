// llama.cpp's common/common.cpp, but a recurrent state keeps snapshots to go back to only where one sequence
// is all there is. With several, a later part of a batch may move the state of a sequence that an earlier
// part has computed drafts of, and its snapshots stay behind: when drafts are then rejected, the answer goes
// on from the state of another. Without them the server copies the state before each draft. And parameters
// are fitted to memory with heads (generation/fitting.h). Compiled into llama-common instead of it
// (cmake/llama_cpp.cmake), so that nothing of llama.cpp is changed.

#include "generation/fitting.h"

#include "common.h"

namespace {

bool may_keep_snapshots(const common_params& params) {
    const auto n_kept = static_cast<int32_t>(params.speculative.need_n_rs_seq()) + 1; // never in two parts
    return params.n_parallel == 1 && params.n_ubatch > n_kept;
}

} // namespace

#define common_fit_params xlc::fit_params
#define need_n_rs_seq() need_n_rs_seq() * (may_keep_snapshots(params) ? 1u : 0u)
#include "common.cpp"
#undef need_n_rs_seq
#undef common_fit_params
