// A sampler around a grammar's sampler that lets any text pass until a trigger, such as the tag that opens a
// tool call. The grammar begins with the trigger. llama.cpp has this only for its own grammars.
#pragma once

#include "llama.h"

#include <regex>
#include <string>
#include <vector>

namespace xlc {

struct Triggers {
    std::vector<std::string> words;
    std::vector<std::regex> patterns; // the grammar begins with the first group
    std::vector<llama_token> tokens;
    // Triggers in the model's thinking do not count.
    std::string thinking_start;             // tag; empty if the model does not open its thinking
    std::vector<std::string> thinking_ends; // tags; empty if the model does not think
    // Texts that end the thinking too, because the parser of answers reads a call from there.
    std::vector<std::string> call_openings;
    bool thinking = false; // the prompt has opened the thinking
};

// Marks a trigger of llama.cpp's parameters that stands for one of call_openings.
constexpr llama_token call_opening_mark = -2;

// Takes ownership of the grammar's sampler.
llama_sampler* waiting_sampler(llama_sampler* grammar, const llama_vocab* vocab, Triggers triggers);

// Return the grammar's sampler inside a waiting sampler, or nullptr while it waits. Return the given sampler
// itself if it is not a waiting sampler.
const llama_sampler* grammar_begun(const llama_sampler* sampler);

// Whether the sampler is a waiting sampler.
bool is_waiting_sampler(const llama_sampler* sampler);

} // namespace xlc
