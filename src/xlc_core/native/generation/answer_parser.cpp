#include "generation/answer_parser.h"

#include "server-common.h"

#include <utility>

namespace xlc {

AnswerFormat
answer_format(const common_chat_params& rendered, bool continues_message, const llama_vocab* vocab) {
    AnswerFormat format;
    format.parser.format = rendered.format;
    format.parser.generation_prompt = common_chat_input_tokenize(vocab, rendered.generation_prompt);
    format.parser.parser = rendered.parser;
    format.continues_message = continues_message;
    return format;
}

AnswerParser::AnswerParser(const AnswerFormat& format) : parser_(format.parser) {
    if (format.continues_message) {
        message_ = common_chat_parse({}, true, parser_); // what the prompt holds is not new
    }
}

std::vector<common_chat_msg_diff> AnswerParser::add(const common_chat_input& piece, bool is_last) {
    input_.append(piece);
    common_chat_msg parsed = common_chat_parse(input_, !is_last, parser_);
    if (parsed.empty()) {
        return {};
    }
    parsed.set_tool_call_ids(call_ids_, gen_tool_call_id);
    const common_chat_msg before = std::exchange(message_, std::move(parsed));
    return common_chat_msg_diff::compute_diffs(before, message_);
}

} // namespace xlc
