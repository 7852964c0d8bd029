// llama.cpp's common/speculative.cpp with one more way to draft: the tokens that a grammar forces. It does
// not need a model and comes before the others. A draft model or head is checked before it is used
// (overrides/access/draft_checks.h). Drafts are verified like any other, so they never change an answer.

#include "constraints/forced_tokens.h"
#include "overrides/access/draft_checks.h"
#include "overrides/access/drafting.h"
#include "support/abort_guard.h"
#include "support/errors.h"
#include "support/logging.h"

#include "speculative.h"

common_speculative* llama_cpp_speculative_init(common_params_speculative& params, uint32_t n_sequences);
common_speculative_init_result_ptr
llama_cpp_speculative_init_from_params(common_params& params, llama_model* model, llama_context* context);
void llama_cpp_speculative_draft(common_speculative* spec);
#define common_speculative_draft llama_cpp_speculative_draft
#define common_speculative_init llama_cpp_speculative_init
#define common_speculative_init_from_params llama_cpp_speculative_init_from_params
#include "common/speculative.cpp"
#undef common_speculative_draft
#undef common_speculative_init
#undef common_speculative_init_from_params

#include "overrides/common/draft_positions.h"

namespace {

// If a model writes the forced text in other tokens than its tokenizer, every draft is useless.
constexpr int max_misses = 3;

class ForcedTokens : public common_speculative_impl {
public:
    explicit ForcedTokens(uint32_t n_sequences)
        : common_speculative_impl(COMMON_SPECULATIVE_TYPE_NONE, n_sequences, xlc::max_forced_tokens),
          sequences_(n_sequences) {}

    void set(llama_seq_id sequence, const xlc::Drafting& drafting) {
        sequences_.at(static_cast<size_t>(sequence)) = {drafting, 0, 0};
    }

    void begin(llama_seq_id /*sequence*/, const llama_tokens& /*prompt*/) override {}

    bool process(const common_batch& /*batch*/) override { return true; }

    void draft(common_speculative_draft_params_vec& wanted) override {
        for (size_t i = 0; i < sequences_.size(); ++i) {
            Sequence& sequence = sequences_[i];
            sequence.n_drafted = 0;
            // One token less than fits: if a draft fills the context, the server ends the answer before it
            // has read the draft.
            wanted[i].n_max -= 1;
            wanted[i].drafting = wanted[i].drafting && wanted[i].n_max > 0 && !sequence.how.off;
            if (!wanted[i].drafting || sequence.how.sampler == nullptr) {
                continue;
            }
            const int32_t n_limit = std::min(wanted[i].n_max, sequence.how.n_max);
            try {
                *wanted[i].result = xlc::forced_tokens(xlc::grammar_of(sequence.how.sampler), n_limit);
            } catch (const std::exception&) {
                wanted[i].result->clear(); // the sampler will say what is wrong, for this request alone
                sequence.how.sampler = nullptr;
            }
            sequence.n_drafted = wanted[i].result->size();
        }
    }

    void accept(llama_seq_id id, uint16_t n_accepted, bool is_other) override {
        Sequence& sequence = sequences_.at(static_cast<size_t>(id));
        if (is_other || sequence.n_drafted == 0) {
            return;
        }
        sequence.misses = n_accepted == 0 ? sequence.misses + 1 : 0;
        if (sequence.misses >= max_misses) {
            sequence.how.sampler = nullptr;
        }
    }

private:
    struct Sequence {
        xlc::Drafting how;
        size_t n_drafted = 0;
        int misses = 0; // consecutive drafts without an accepted token
    };

    std::vector<Sequence> sequences_;
};

} // namespace

common_speculative_init_result_ptr
common_speculative_init_from_params(common_params& params, llama_model* model, llama_context* context) {
    xlc::check_draft_file(params.speculative, *model);
    auto made = llama_cpp_speculative_init_from_params(params, model, context);
    xlc::check_draft_model(params.speculative, made->model(), *model);
    return made;
}

// Like llama.cpp's, but there is always a drafter, and last_speculation() reports which kinds started. The
// server only logs those that did not.
common_speculative* common_speculative_init(common_params_speculative& params, uint32_t n_sequences) {
    xlc::SpeculationReport& report = xlc::last_speculation();
    report = {};
    common_speculative_ptr spec;
    try {
        spec.reset(llama_cpp_speculative_init(params, n_sequences));
        xlc::check_layers(params);
    } catch (const xlc::Error& error) {
        report.refused = error;
    } catch (const std::exception& error) {
        report.failure = error.what();
    }
    if (!spec) {
        spec.reset(new common_speculative{
            /* .dparams     = */ common_speculative_draft_params_vec(n_sequences),
            /* .impls       = */ {},
            /* .impl_last   = */ std::vector<common_speculative_impl*>(n_sequences, nullptr),
            /* .synth_probs = */ {},
        });
    }
    for (const auto& implementation : spec->impls) {
        report.active.push_back(implementation->type);
    }
    auto positions = std::make_unique<DraftPositions>(params, n_sequences, *spec);
    spec->impls.insert(spec->impls.begin(), std::move(positions));
    spec->impls.insert(spec->impls.begin(), std::make_unique<ForcedTokens>(n_sequences));
    return spec.release();
}

// llama.cpp would end all requests, and the next round would also draft for a sequence whose sampler is gone.
// Now they go on without drafts in this step. After a failed assertion nothing goes on.
void common_speculative_draft(common_speculative* spec) {
    const auto end_round = [spec] {
        for (common_speculative_draft_params& wanted : spec->dparams) {
            if (wanted.drafting && wanted.result != nullptr) {
                wanted.result->clear();
            }
            wanted.drafting = false;
        }
    };
    try {
        llama_cpp_speculative_draft(spec);
    } catch (const xlc::AssertionFailed&) {
        end_round();
        throw;
    } catch (const std::exception& error) {
        end_round();
        xlc::log_warning(std::string("nothing was drafted in this step: ") + error.what());
    }
}

void xlc::set_drafting(common_speculative* spec, llama_seq_id sequence, const Drafting& drafting) {
    if (spec != nullptr) {
        static_cast<ForcedTokens&>(*spec->impls.front()).set(sequence, drafting);
    }
}

xlc::SpeculationReport& xlc::last_speculation() {
    static thread_local SpeculationReport report;
    return report;
}
