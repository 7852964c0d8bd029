// Reads thinking, text and tool calls out of an answer, by the parser that belongs to its chat template.
#pragma once

#include "chat.h"

#include <optional>
#include <string>
#include <vector>

struct llama_vocab;

namespace xlc {

// The parser of an answer; empty for a template without marks for thinking or calls.
struct AnswerFormat {
    common_chat_parser_params parser;
    common_chat_msg begun; // the part of the answer that is in the prompt
};

// Throws Error(invalid_request) if the message that the answer continues is nested too deeply to be parsed.
AnswerFormat
answer_format(const common_chat_params& rendered, bool continues_message, const llama_vocab* vocab);

class AnswerParser {
public:
    explicit AnswerParser(const AnswerFormat& format);

    // Returns the changes of the message by the added piece. llama.cpp's parsers read the whole answer again
    // each time. Throws their exception for an answer that does not match the format.
    std::vector<common_chat_msg_diff> add(const common_chat_input& piece, bool is_last);

    const common_chat_msg& message() const { return message_; }
    const std::string& text() const { return input_.text; } // all that was added

private:
    const common_chat_parser_params parser_;
    common_chat_input input_;
    common_chat_msg message_;
    std::vector<std::string> call_ids_;
};

} // namespace xlc
