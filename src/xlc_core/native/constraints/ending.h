// Finds a short legal ending of an answer under a grammar, for when the tokens run out.
#pragma once

#include "constraints/required_parts.h"
#include "llama.h"

#include <optional>
#include <string>
#include <vector>

namespace xlc {

// Finds endings by trying: first the tokens that the grammar forces, then closing quotes and brackets and the
// template's tokens, then what patterns require, then digits, letters and words in turn. If that takes too
// many tokens, others are tried at the first choices. For JSON the result is close to the shortest ending.
// For a grammar or a pattern whose end is hard to guess, it may find none. Holds the vocabulary's tokens for
// the texts to try.
class EndingFinder {
public:
    // `text_ends`: texts that end a plain text in the grammar. `parts`: what its patterns require.
    EndingFinder(
        const llama_vocab* vocab,
        const std::vector<std::string>& thinking_ends,
        const std::vector<std::string>& text_ends,
        const std::vector<RequiredPart>& parts);

    // Return at most n_max tokens after which the grammar is complete; the last one ends the answer.
    // `thinking`: the free thinking before the answer has not ended yet.
    std::optional<std::vector<llama_token>>
    find(const llama_sampler* grammar, bool thinking, int32_t n_max) const;

    // Whether these tokens are an ending from here. Faster than find().
    static bool is_ending(const llama_sampler* grammar, const std::vector<llama_token>& tokens);

    // Whether this token, which fits, is only a part of a text, so that what must follow stays the same.
    bool is_inside_text(llama_sampler* grammar, llama_token token) const;

    bool ends_answer(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }

private:
    struct Draft;
    // Another way than the first: at a choice, counted from 1, so many fillers that fit are passed over.
    struct Detour {
        int choice = 0;
        int n_passed = 0;
    };
    std::optional<std::vector<llama_token>>
    write(const llama_sampler* grammar, bool thinking, int32_t n_max) const;
    std::optional<std::vector<llama_token>>
    write_along(Detour detour, const llama_sampler* grammar, bool thinking, int32_t n_max) const;
    bool take_structure(Draft& draft) const;
    bool take_control(Draft& draft, bool in_text) const;
    bool reads_name_as_text(const Draft& draft, llama_token control) const;
    bool take_end_of_text(Draft& draft) const;
    bool take_mark_after_text(Draft& draft) const;
    bool take_filler(Draft& draft, bool in_text) const;
    std::string text_of(const RequiredPart& part) const;

    const llama_vocab* vocab_;
    llama_token end_token_;
    llama_token quote_;
    llama_token tilde_; // where this token is allowed, free text is allowed
    std::vector<llama_token> ends_;
    std::vector<llama_token> links_;
    std::vector<llama_token> control_; // without those that end an answer
    std::vector<std::vector<llama_token>> fillers_;
    size_t n_parts_ = 0;          // the first ones are what patterns require
    std::vector<size_t> classes_; // of each filler: digits, small letters, capitals, others
    std::vector<std::vector<llama_token>> thinking_ends_;
    std::vector<std::vector<llama_token>> text_ends_;
};

// How often find() has searched in this process, for tests.
int64_t n_searched_endings();

} // namespace xlc
