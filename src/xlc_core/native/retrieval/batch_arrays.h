// The arrays that a llama_batch points to.
#pragma once

#include <llama.h>

#include <cstdint>
#include <vector>

namespace xlc {

// Each token belongs to one sequence, and the output of every token is requested. Either `tokens` or `embd`
// is filled.
struct BatchArrays {
    std::vector<llama_token> tokens;
    std::vector<float> embd;
    std::vector<llama_pos> pos;
    std::vector<llama_seq_id> seq_ids;

    void clear() {
        tokens.clear();
        embd.clear();
        pos.clear();
        seq_ids.clear();
    }

    // Valid until the arrays change.
    llama_batch view() {
        n_seq_id_.assign(pos.size(), 1);
        wanted_.assign(pos.size(), 1);
        seq_id_pointers_.clear();
        for (llama_seq_id& seq_id : seq_ids) {
            seq_id_pointers_.push_back(&seq_id);
        }
        llama_batch batch{};
        batch.n_tokens = static_cast<int32_t>(pos.size());
        batch.token = tokens.empty() ? nullptr : tokens.data();
        batch.embd = embd.empty() ? nullptr : embd.data();
        batch.pos = pos.data();
        batch.n_seq_id = n_seq_id_.data();
        batch.seq_id = seq_id_pointers_.data();
        batch.logits = wanted_.data();
        return batch;
    }

private:
    std::vector<int32_t> n_seq_id_;
    std::vector<llama_seq_id*> seq_id_pointers_;
    std::vector<int8_t> wanted_;
};

} // namespace xlc
