#include "generation/answer_parser.h"

#include "support/deep_stack.h"
#include "support/errors.h"
#include "support/thread.h"

#include "server-common.h"

#include <utility>

namespace xlc {

namespace {

common_chat_msg parse_begun(const common_chat_parser_params& parser) {
    try {
        return common_chat_parse({}, true, parser);
    } catch (const Error&) {
        throw Error(
            ErrorKind::invalid_request, "the last message cannot be continued, because it has too many "
                                        "brackets within brackets; shorten it");
    } catch (const std::exception&) {
        return {}; // it does not match the format, and then the answer will not either
    }
}

} // namespace

AnswerFormat
answer_format(const common_chat_params& rendered, bool continues_message, const llama_vocab* vocab) {
    AnswerFormat format;
    format.parser.format = rendered.format;
    format.parser.generation_prompt = common_chat_input_tokenize(vocab, rendered.generation_prompt);
    format.parser.parser = rendered.parser;
    if (continues_message) {
        on_deep_stack([&] { format.begun = parse_begun(format.parser); }, Thread::default_stack);
    }
    return format;
}

// The part of the answer that the prompt holds is not new.
AnswerParser::AnswerParser(const AnswerFormat& format) : parser_(format.parser), message_(format.begun) {}

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
