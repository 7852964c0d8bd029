// A short legal ending of an answer under a grammar: what is left to write when the tokens run out.
#pragma once

#include "llama.h"

#include <optional>
#include <string>
#include <vector>

namespace xlc {

// Finds endings by trying: the tokens that the grammar forces, then closing quotes and brackets, then digits,
// letters and words in turn. For JSON that is close to the shortest ending; for a grammar or a pattern whose
// end takes luck to find there may be none. Holds a vocabulary's tokens for these texts.
class EndingFinder {
public:
    EndingFinder(const llama_vocab* vocab, const std::vector<std::string>& thinking_ends);

    // Tokens after which the grammar is complete, the last of which ends the answer; at most n_max of them.
    // `thinking` says that the free thinking before the answer has not ended yet.
    std::optional<std::vector<llama_token>>
    find(const llama_sampler* grammar, bool thinking, int32_t n_max) const;

    // Whether the tokens, the last of which ends the answer, are an ending from here; faster than to find
    // one.
    static bool is_ending(const llama_sampler* grammar, const std::vector<llama_token>& tokens);

    bool ends_answer(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }

private:
    struct Draft;
    std::optional<std::vector<llama_token>>
    write(const llama_sampler* grammar, bool thinking, int32_t n_max) const;
    bool take_structure(Draft& draft) const;
    bool take_filler(Draft& draft, bool in_text) const;

    const llama_vocab* vocab_;
    llama_token end_token_;
    llama_token quote_;
    llama_token tilde_; // where this may stand, free text may
    std::vector<llama_token> structure_;
    std::vector<std::vector<llama_token>> fillers_; // the first for texts only
    std::vector<std::vector<llama_token>> thinking_ends_;
};

// The text that ends an answer which begins with `text`, for trying a constraint without running a model;
// none when no ending of at most n_max tokens is found. Kinds are those of checker.h; throws as
// check_constraint does.
std::optional<std::string> ending_of(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    const std::string& text,
    int32_t n_max);

} // namespace xlc
