// Answers that are closed before their tokens run out: how many tokens an answer may have, and whether that
// limit changed its end. A request and its sampler share one Closing. llama.cpp creates the sampler from the
// request's grammar only, so the grammar's text carries the Closing's number in a comment.
#pragma once

#include "constraints/required_parts.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace xlc {

struct ClosingParams {
    int32_t n_tokens = 0;                   // limit for the answer, with thinking and end token
    std::string thinking_start;             // tag before free thinking; empty: the prompt ends with it
    std::vector<std::string> thinking_ends; // tags that end the thinking; empty: the model does not think
    std::vector<std::string> text_ends; // texts that end a plain text in the grammar, such as closing tags
    std::vector<RequiredPart> parts;    // what the patterns of the grammar require
};

struct Closing {
    explicit Closing(ClosingParams how) : params(std::move(how)) {}

    const ClosingParams params;
    std::atomic<bool> forced{false}; // the limit refused a token that the model could have chosen
};

// Writes a mark into the grammar. Replaces an earlier mark.
void mark_closing(std::string& grammar, const std::shared_ptr<Closing>& closing);

// Return the grammar without its mark.
std::string without_closing_mark(std::string grammar);

// Return the Closing whose mark the grammar carries. nullptr without a mark, or when the request is over.
std::shared_ptr<Closing> closing_of(const std::string& grammar);

} // namespace xlc
