// A chat template and, after a NUL character, the text of a message; then the answer to it is parsed.
#include "input.h"

#include "generation/answer_parser.h"
#include "generation/chat_rendering.h"
#include "generation/tool_template.h"
#include "overrides/access/template_limits.h"
#include "support/abort_guard.h"
#include "support/logging.h"

#include "llama.h"

namespace {

const llama_vocab* vocab = nullptr;

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    xlc::redirect_llama_logs();
    xlc::install_abort_handler();
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    vocab = llama_model_get_vocab(
        llama_model_load_from_file(xlc::fuzzing::path_from("XLLAMA_FUZZ_MODEL").c_str(), params));
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto [source, text] = xlc::fuzzing::two_texts(data, size);
    xlc::fuzzing::may_refuse([&, &source = source, &text = text] {
        const common_chat_templates_ptr own =
            common_chat_templates_init(nullptr, source.empty() ? "chatml" : source);
        const common_chat_templates_ptr tools = xlc::generic_tool_templates(nullptr, own.get());
        const xlc::ChatDefaults defaults = {own.get(), tools ? tools.get() : own.get(), true, true,
                                            true,      COMMON_REASONING_FORMAT_AUTO,    {}};
        xlc::ChatRequest chat;
        chat.messages = {{"system", text, "", "", "", {}}, {"user", text, "", "", "", {}}};
        xlc::fuzzing::may_refuse([&] { xlc::render_chat(chat, defaults); });
        chat.messages.push_back({"assistant", "", text, "", "", {{"1", "look", R"({"at": [1, null]})"}}});
        chat.messages.push_back({"tool", text, "", "1", "look", {}});
        chat.tools = {{"look", text, R"({"type": "object", "properties": {"at": {"type": "array"}}})"}};
        chat.thinking = true;
        const common_chat_params rendered = xlc::render_chat(chat, defaults);
        xlc::AnswerParser parser(xlc::answer_format(rendered, false, vocab));
        for (const bool is_last : {false, true}) {
            try {
                parser.add(common_chat_input(text), is_last);
            } catch (const std::exception&) { // the answer does not match the format
            }
        }
    });
    return 0;
}
