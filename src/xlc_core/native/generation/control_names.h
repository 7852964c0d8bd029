// Keeps the names of control tokens in the texts of a chat from being read as these tokens.
#pragma once

#include "generation/request.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace xlc {

// A chat for the template, with a mark in the names of control tokens (support/text_mark.h).
struct MarkedChat {
    std::string mark; // empty: its texts name no control tokens, and nothing was changed
    ChatRequest prompt;
    // For the grammar and the parser of the answer: without marks in the tools and in a last message that the
    // answer continues.
    ChatRequest answer;
};

struct MarkedJson {
    std::string mark; // empty: nothing was changed
    std::string text;
};

class ControlNames {
public:
    explicit ControlNames(const llama_vocab* vocab);

    // Mark the control tokens that the texts of a chat name. Its roles are not texts, and neither are
    // variables of the template whose names end with "_token".
    MarkedChat mark(const ChatRequest& chat) const;

    // Mark the control tokens that the strings of a JSON text name.
    MarkedJson mark_json(std::string text) const;

private:
    bool occur_in(std::string_view text) const;
    bool start_at(std::string_view text, size_t at) const;
    bool occur_in_json(const std::string& text) const;
    std::string marked(std::string_view text, const std::string& mark) const;
    std::string marked_json(const std::string& text, const std::string& mark) const;

    std::array<std::vector<std::string>, 256> by_first_byte_;
};

} // namespace xlc
