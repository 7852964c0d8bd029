// Keeps draft models and heads at the same positions as their model. This is part of
// overrides/common/speculative.cpp, because it uses classes that only speculative.cpp defines. llama.cpp's
// heads skip images, and EAGLE-3 stores the last position that it has not computed yet. So after a context
// shift, or when a conversation comes from a cache or a file, the draft model's KV cache would have a gap,
// and all running requests would fail.
#pragma once

namespace {

class DraftPositions : public common_speculative_impl {
public:
    DraftPositions(const common_params_speculative& params, uint32_t n_sequences, common_speculative& spec)
        : common_speculative_impl(COMMON_SPECULATIVE_TYPE_NONE, n_sequences, 0),
          context_(params.draft.ctx_dft) {
        for (const auto& other : spec.impls) {
            if (auto* mtp = dynamic_cast<common_speculative_impl_draft_mtp*>(other.get());
                mtp && mtp->is_mem_shared) {
                context_ = nullptr; // it uses the model's cache
            }
            if (auto* eagle3 = dynamic_cast<common_speculative_impl_draft_eagle3*>(other.get())) {
                eagle3_ = eagle3;
            }
        }
        if (context_) {
            const llama_rope_type type = llama_model_rope_type(llama_get_model(context_));
            may_jump_ = type == LLAMA_ROPE_TYPE_MROPE || type == LLAMA_ROPE_TYPE_IMROPE;
        }
    }

    void begin(llama_seq_id /*sequence*/, const llama_tokens& /*prompt*/) override {}

    bool process(const common_batch& batch) override {
        // After skipped media the positions start again. EAGLE-3 and MTP only read tokens.
        if (!context_ || !batch.has_token() || batch.has_embd()) {
            return true;
        }
        std::vector<bool> seen(n_seq);
        for (const auto& token : batch.tokens) {
            const auto i = static_cast<size_t>(token.seq_id);
            if (i < seen.size() && !seen[i]) {
                seen[i] = true;
                continue_at(token.seq_id, token.pos[0]);
            }
        }
        return true;
    }

    void draft(common_speculative_draft_params_vec& wanted) override {
        for (size_t i = 0; eagle3_ && i < wanted.size(); i++) {
            llama_pos& pending = eagle3_->pending_pos_last[i];
            if (wanted[i].drafting && pending >= 0) {
                pending = wanted[i].pos0 - 1; // a context shift has changed the position
            }
        }
    }

    void accept(llama_seq_id /*sequence*/, uint16_t /*n_accepted*/, bool /*is_other*/) override {}

private:
    void continue_at(llama_seq_id sequence, llama_pos position) {
        llama_memory_t memory = llama_get_memory(context_);
        const llama_pos last = llama_memory_seq_pos_max(memory, sequence);
        if (last < 0 || last == position - 1) {
            return;
        }
        if (last >= position) {
            llama_memory_seq_rm(memory, sequence, position, -1);
        } else if (eagle3_ && last == position - 2) {
            eagle3_->pending_pos_last[static_cast<size_t>(sequence)] = position - 1;
        } else if (!may_jump_) {
            llama_memory_seq_rm(memory, sequence, -1, -1);
        }
    }

    llama_context* context_;
    common_speculative_impl_draft_eagle3* eagle3_ = nullptr;
    bool may_jump_ = false;
};

} // namespace
