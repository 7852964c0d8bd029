#include "generation/control_names.h"

#include "support/control_token.h"

#include "llama.h"
#include "server-common.h"

#include <algorithm>
#include <random>
#include <utility>

namespace xlc {

namespace {

// Digits are the same in upper and lower case, and nothing escapes them.
std::string new_mark() {
    std::random_device device;
    std::string mark;
    while (mark.size() < 24) {
        mark += std::to_string(device());
    }
    return mark;
}

size_t character_size(char first) {
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Calls `on_string` with each string literal of a JSON text, and `on_rest` with what is between them.
template<typename String, typename Rest>
void split_json(const std::string& text, const String& on_string, const Rest& on_rest) {
    size_t begin = 0;
    while (begin < text.size()) {
        const size_t quote = std::min(text.find('"', begin), text.size());
        on_rest(std::string_view(text).substr(begin, quote - begin));
        size_t end = quote + 1;
        while (end < text.size() && text[end] != '"') {
            end += text[end] == '\\' ? 2 : 1;
        }
        end = std::min(end + 1, text.size());
        if (quote < text.size()) {
            on_string(text.substr(quote, end - quote));
        }
        begin = std::max(end, quote);
    }
}

std::string decoded(const std::string& literal) {
    if (literal.find('\\') == std::string::npos) {
        return literal.size() < 2 ? literal : literal.substr(1, literal.size() - 2);
    }
    try {
        return json::parse(literal).get<std::string>();
    } catch (const std::exception&) {
        return literal; // it was cut off
    }
}

bool is_token_variable(const std::string& name) {
    constexpr std::string_view ending = "_token";
    return name.size() >= ending.size() &&
           name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

// Calls `on_text` or `on_json` with each text of a chat.
template<typename Chat, typename Text, typename Json>
void visit_texts(Chat& chat, const Text& on_text, const Json& on_json) {
    for (auto& message : chat.messages) {
        on_text(message.content);
        on_text(message.reasoning);
        on_text(message.tool_call_id);
        on_text(message.name);
        for (auto& call : message.tool_calls) {
            on_text(call.id);
            on_text(call.name);
            on_json(call.arguments);
        }
    }
    for (auto& tool : chat.tools) {
        on_text(tool.name);
        on_text(tool.description);
        on_json(tool.parameters);
    }
    for (auto& [name, value] : chat.template_kwargs) {
        if (!is_token_variable(name)) {
            on_json(value);
        }
    }
}

} // namespace

ControlNames::ControlNames(const llama_vocab* vocab) {
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
        if (!is_control(vocab, token)) {
            continue;
        }
        const std::string name = llama_vocab_get_text(vocab, token);
        if (!name.empty() && name.size() > character_size(name.front())) { // else a mark does not break it
            by_first_byte_.at(static_cast<unsigned char>(name.front())).push_back(name);
        }
    }
}

bool ControlNames::start_at(std::string_view text, size_t at) const {
    for (const std::string& name : by_first_byte_[static_cast<unsigned char>(text[at])]) {
        if (text.compare(at, name.size(), name) == 0) {
            return true;
        }
    }
    return false;
}

bool ControlNames::occur_in(std::string_view text) const {
    for (size_t at = 0; at < text.size(); at++) {
        if (start_at(text, at)) {
            return true;
        }
    }
    return false;
}

bool ControlNames::occur_in_json(const std::string& text) const {
    bool found = occur_in(text);
    if (!found && text.find('\\') != std::string::npos) {
        split_json(
            text, [&](const std::string& literal) { found = found || occur_in(decoded(literal)); },
            [](std::string_view) {});
    }
    return found;
}

std::string ControlNames::marked(std::string_view text, const std::string& mark) const {
    std::string out;
    out.reserve(text.size() + mark.size());
    size_t done = 0;
    for (size_t at = 0; at < text.size(); at++) {
        if (start_at(text, at)) {
            const size_t after = at + character_size(text[at]);
            out += text.substr(done, after - done);
            out += mark;
            done = after;
        }
    }
    out += text.substr(std::min(done, text.size()));
    return out;
}

std::string ControlNames::marked_json(const std::string& text, const std::string& mark) const {
    std::string out;
    split_json(
        text,
        [&](const std::string& literal) {
            const std::string value = decoded(literal);
            out += !occur_in(value)   ? literal
                   : value == literal ? marked(literal, mark)
                                      : json(marked(value, mark)).dump();
        },
        [&](std::string_view rest) { out += marked(rest, mark); });
    return out;
}

MarkedJson ControlNames::mark_json(std::string text) const {
    if (!occur_in_json(text)) {
        return {"", std::move(text)};
    }
    std::string mark = new_mark();
    std::string out = marked_json(text, mark);
    return {std::move(mark), std::move(out)};
}

MarkedChat ControlNames::mark(const ChatRequest& chat) const {
    MarkedChat out;
    bool found = false;
    visit_texts(
        chat, [&](const std::string& text) { found = found || occur_in(text); },
        [&](const std::string& text) { found = found || occur_in_json(text); });
    if (!found) {
        return out;
    }
    out.mark = new_mark();
    out.prompt = chat;
    visit_texts(
        out.prompt, [&](std::string& text) { text = marked(text, out.mark); },
        [&](std::string& text) { text = marked_json(text, out.mark); });
    out.answer = out.prompt;
    out.answer.tools = chat.tools;
    if (!chat.messages.empty() && chat.messages.back().role == "assistant") {
        out.answer.messages.back() = chat.messages.back();
    }
    return out;
}

} // namespace xlc
