#include "constraints/checker.h"

#include "common.h"
#include "constraints/ending.h"
#include "constraints/gbnf.h"
#include "constraints/llg_tokenizer.h"
#include "constraints/required_parts.h"
#include "llama-cpp.h"
#include "sampling.h"
#include "support/errors.h"
#include "support/process.h"

#include <algorithm>
#include <mutex>

namespace xlc {

namespace {

constexpr size_t max_expected = 64;  // tokens named in an explanation
constexpr size_t max_line = 200;     // llguidance quotes a whole line, and a schema is one long line
constexpr size_t max_message = 2000; // most characters of a message

std::shared_ptr<const LlgTokenizer> tokenizer_for(const llama_vocab* vocab) {
    if (vocab != nullptr) {
        return TokenizerRegistry::for_vocab(vocab);
    }
    static const auto* bytes =
        new std::shared_ptr<const LlgTokenizer>(std::make_shared<const LlgTokenizer>());
    return *bytes;
}

// Cut at a whole UTF-8 character.
std::string shortened(std::string text, size_t limit) {
    if (text.size() <= limit) {
        return text;
    }
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) {
        --limit;
    }
    text.resize(limit);
    return text + "...";
}

std::string readable(const std::string& reason) {
    std::string message;
    size_t begin = 0;
    while (begin <= reason.size()) {
        const size_t end = std::min(reason.find('\n', begin), reason.size());
        if (end > begin) {
            message += (message.empty() ? "" : "\n") + shortened(reason.substr(begin, end - begin), max_line);
        }
        begin = end + 1;
    }
    return shortened(std::move(message), max_message);
}

// A NUL character would end llguidance's C strings early.
void refuse_nul(const std::string& data) {
    const size_t at = data.find('\0');
    if (at != std::string::npos) {
        throw Error(ErrorKind::constraint, "the grammar has a NUL character at byte " + std::to_string(at));
    }
}

[[noreturn]] void throw_refusal(const Error& error) {
    if (error.kind != ErrorKind::constraint) {
        throw error;
    }
    throw Error(ErrorKind::constraint, "the constraint is refused: " + readable(error.what()));
}

// Return a matcher that has computed its first mask. Some well-formed grammars allow no first token, such as
// a schema that only refers to itself.
llg::MatcherPtr start(const LlgTokenizer& tokenizer, const std::string& kind, const std::string& data) {
    if (kind != "lark") {
        throw Error(ErrorKind::constraint, "unknown kind of grammar '" + kind + "'; it is 'lark' or 'gbnf'");
    }
    refuse_nul(data);
    const llg::Api& api = llg::api();
    try {
        llg::MatcherPtr matcher = tokenizer.new_matcher(kind, data);
        if (api.matcher_compute_mask(matcher.get()) != 0) {
            throw Error(ErrorKind::constraint, llg::matcher_error(matcher.get()) + " (no text satisfies it)");
        }
        const uint32_t* mask = api.matcher_get_mask(matcher.get());
        const size_t n_words = (tokenizer.n_tokens() + 31) / 32;
        if (std::all_of(mask, mask + n_words, [](uint32_t word) { return word == 0; })) {
            throw Error(ErrorKind::constraint, "nothing satisfies it");
        }
        return matcher;
    } catch (const Error& error) {
        throw_refusal(error);
    }
}

// Many texts are often checked against the same constraint, and copying a matcher is cheaper than compiling
// its grammar.
llg::MatcherPtr start_again(
    const std::shared_ptr<const LlgTokenizer>& tokenizer, const std::string& kind, const std::string& data) {
    struct Last {
        std::mutex mutex;
        std::shared_ptr<const LlgTokenizer> tokenizer;
        std::string data;
        llg::MatcherPtr matcher; // destroyed before its tokenizer
    };
    Last& last = one_per_process<Last>();
    std::lock_guard<std::mutex> lock(last.mutex);
    if (!last.matcher || last.tokenizer != tokenizer || last.data != data || kind != "lark") {
        llg::MatcherPtr fresh = start(*tokenizer, kind, data);
        if (tokenizer != tokenizer_for(nullptr)) {
            return fresh; // not kept, because a model's tokenizer is freed with the model
        }
        last.matcher = std::move(fresh);
        last.tokenizer = tokenizer;
        last.data = data;
    }
    return llg::MatcherPtr(llg::api().clone_matcher(last.matcher.get()));
}

std::string_view text_of(const LlgTokenizer& tokenizer, uint32_t token) {
    const std::string_view bytes = tokenizer.token_bytes(token);
    return bytes.size() > 1 && bytes[0] == '\xFF' ? bytes.substr(1) : bytes;
}

std::vector<uint32_t> tokens_of(const LlgTokenizer& tokenizer, std::string_view text) {
    std::vector<uint32_t> tokens = tokenizer.tokenize(text, true);
    std::string read;
    for (const uint32_t token : tokens) {
        read += text_of(tokenizer, token);
    }
    if (read != text) {
        throw Error(
            ErrorKind::unsupported_feature, "the model's tokenizer changes this text (an encoder's drops "
                                            "case and spaces); check it without a model");
    }
    return tokens;
}

std::vector<std::string> allowed_tokens(const LlgTokenizer& tokenizer, llg::Matcher* matcher) {
    std::vector<std::string> allowed;
    const llg::Api& api = llg::api();
    if (api.matcher_compute_mask(matcher) != 0) {
        return allowed;
    }
    const uint32_t* mask = api.matcher_get_mask(matcher);
    for (uint32_t id = 0; id < tokenizer.n_tokens() && allowed.size() < max_expected; ++id) {
        if ((mask[id / 32] & (uint32_t{1} << (id % 32))) != 0 && !tokenizer.ends_answer(id)) {
            allowed.emplace_back(tokenizer.token_bytes(id));
        }
    }
    return allowed;
}

} // namespace

void check_constraint(const llama_vocab* vocab, const std::string& kind, const std::string& data) {
    if (kind == "gbnf") {
        gbnf::check(vocab, data);
    } else {
        start(*tokenizer_for(vocab), kind, data);
    }
}

void compile_constraint(const llama_vocab* vocab, const std::string& grammar) {
    if (grammar.compare(0, 11, "%llguidance") != 0) {
        return;
    }
    try {
        tokenizer_for(vocab)->new_matcher("lark", grammar);
    } catch (const Error& error) {
        throw_refusal(error);
    }
}

bool accepts(
    const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text) {
    return explain(vocab, kind, data, text).accepted;
}

Explanation
explain(const llama_vocab* vocab, const std::string& kind, const std::string& data, std::string_view text) {
    if (kind == "gbnf") {
        return gbnf::explain(vocab, data, text);
    }
    const llg::Api& api = llg::api();
    const auto tokenizer = tokenizer_for(vocab);
    const llg::MatcherPtr matcher = start_again(tokenizer, kind, data);

    Explanation found;
    const std::vector<uint32_t> tokens = tokens_of(*tokenizer, text);
    size_t n_consumed = 0;
    for (const uint32_t token : tokens) {
        // An end token inside the text would stop the matcher, although more text follows.
        if (tokenizer->ends_answer(token) || api.matcher_validate_tokens(matcher.get(), &token, 1) != 1 ||
            api.matcher_consume_token(matcher.get(), token) != 0) {
            break;
        }
        found.n_bytes += text_of(*tokenizer, token).size();
        ++n_consumed;
    }
    // A matcher with an error, such as a limit of llguidance, refuses all tokens. That says nothing about the
    // text.
    const std::string reason = llg::matcher_error(matcher.get());
    if (!reason.empty()) {
        throw Error(
            ErrorKind::constraint, "the constraint cannot be followed beyond byte " +
                                       std::to_string(found.n_bytes) + " of the text: " + readable(reason));
    }
    found.complete = api.matcher_is_accepting(matcher.get());
    found.accepted = found.complete && n_consumed == tokens.size();
    if (!found.accepted) {
        found.expected = allowed_tokens(*tokenizer, matcher.get());
    }
    return found;
}

int32_t control_token(const llama_vocab* vocab, const std::string& text) {
    const auto tokenizer = TokenizerRegistry::for_vocab(vocab);
    const std::vector<uint32_t> tokens = tokenizer->tokenize(text, true);
    const bool is_control = tokens.size() == 1 && tokenizer->token_bytes(tokens[0]) == "\xFF" + text;
    return is_control ? static_cast<int32_t>(tokens[0]) : -1;
}

std::vector<std::pair<std::string, int32_t>>
cut_at_control_tokens(const llama_vocab* vocab, const std::string& text) {
    const auto tokenizer = TokenizerRegistry::for_vocab(vocab);
    std::vector<std::pair<std::string, int32_t>> pieces;
    size_t at = 0; // all text before it is in the pieces
    for (const uint32_t token : tokenizer->tokenize(text, true)) {
        const std::string_view bytes = tokenizer->token_bytes(token);
        if (bytes.size() < 2 || bytes[0] != '\xFF') {
            continue;
        }
        const std::string name(bytes.substr(1));
        const size_t begin = text.find(name, at);
        if (begin == std::string::npos) {
            continue;
        }
        if (begin > at) {
            pieces.emplace_back(text.substr(at, begin - at), -1);
        }
        pieces.emplace_back(name, static_cast<int32_t>(token));
        at = begin + name.size();
    }
    if (at < text.size()) {
        pieces.emplace_back(text.substr(at), -1);
    }
    return pieces;
}

std::optional<std::string> ending_of(
    const llama_vocab* vocab,
    const std::string& kind,
    const std::string& data,
    const std::string& text,
    int32_t n_max) {
    check_constraint(vocab, kind, data);
    const llama_sampler_ptr grammar(
        kind == "lark" ? llama_sampler_init_llg(vocab, "lark", data.c_str())
                       : llama_sampler_init_grammar(vocab, data.c_str(), "root"));
    for (const llama_token token : common_tokenize(vocab, text, false, false)) {
        llama_sampler_accept(grammar.get(), token);
    }
    const auto ending = EndingFinder(vocab, {}, {}, required_parts(data)).find(grammar.get(), false, n_max);
    if (!ending) {
        return std::nullopt;
    }
    std::string out;
    for (const llama_token token : *ending) {
        out += common_token_to_piece(vocab, token, false);
    }
    return out;
}

} // namespace xlc
