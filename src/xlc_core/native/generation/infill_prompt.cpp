#include "generation/infill_prompt.h"

#include "support/errors.h"

#include "common.h"

#include <algorithm>

namespace xlc {

namespace {

using Tokens = std::vector<llama_token>;

// The separator between files if the vocabulary has no token for it.
constexpr const char* snippet_line = "\n\n--- snippet ---\n\n";

void check_vocabulary(const llama_vocab* vocab) {
    std::string missing;
    const auto need = [&](llama_token token, const char* name) {
        if (token == LLAMA_TOKEN_NULL) {
            missing += (missing.empty() ? "" : ", ") + std::string(name);
        }
    };
    need(llama_vocab_fim_pre(vocab), "prefix");
    need(llama_vocab_fim_suf(vocab), "suffix");
    need(llama_vocab_fim_mid(vocab), "middle");
    if (!missing.empty()) {
        throw Error(
            ErrorKind::unsupported_feature,
            "this model was not made for infill: its vocabulary has no token for " + missing +
                "; open a model for code completion, such as Qwen2.5-Coder, or use complete");
    }
}

void append(Tokens& to, const Tokens& from) {
    to.insert(to.end(), from.begin(), from.end());
}

// Return the tokens of the other files; the last file is nearest to the gap.
Tokens extra_tokens(const InfillPrompt& prompt, const llama_vocab* vocab) {
    Tokens out;
    const auto add_text = [&](const std::string& text) {
        append(out, common_tokenize(vocab, text, false, false));
    };
    const llama_token separator = llama_vocab_fim_sep(vocab);
    if (llama_vocab_fim_rep(vocab) != LLAMA_TOKEN_NULL) {
        out.push_back(llama_vocab_fim_rep(vocab));
        add_text("myproject\n");
    }
    for (const InfillFile& file : prompt.extra) {
        if (separator != LLAMA_TOKEN_NULL) {
            out.push_back(separator);
            add_text(file.name + "\n");
        } else {
            add_text(snippet_line);
        }
        add_text(file.text);
    }
    if (separator != LLAMA_TOKEN_NULL) {
        out.push_back(separator);
        add_text("filename\n");
    }
    return out;
}

} // namespace

std::vector<llama_token>
infill_tokens(const InfillPrompt& prompt, const llama_vocab* vocab, const InfillLayout& layout) {
    check_vocabulary(vocab);
    Tokens prefix = common_tokenize(vocab, prompt.prefix, false, false);
    Tokens suffix = common_tokenize(vocab, prompt.suffix, false, false);
    Tokens extra = extra_tokens(prompt, vocab);

    const bool add_bos = llama_vocab_get_add_bos(vocab);
    const auto n_room = static_cast<size_t>(std::max(layout.n_tokens - (add_bos ? 4 : 3), 0));
    const size_t n_prefix =
        std::min(prefix.size(), std::max(n_room * 3 / 4, n_room - std::min(n_room, suffix.size())));
    const size_t n_suffix = std::min(suffix.size(), n_room - n_prefix);
    const size_t n_extra = std::min(extra.size(), n_room - n_prefix - n_suffix);
    prefix.erase(prefix.begin(), prefix.end() - static_cast<std::ptrdiff_t>(n_prefix));
    suffix.resize(n_suffix);
    extra.erase(extra.begin(), extra.end() - static_cast<std::ptrdiff_t>(n_extra));

    prefix.insert(prefix.begin(), llama_vocab_fim_pre(vocab));
    suffix.insert(suffix.begin(), llama_vocab_fim_suf(vocab));
    Tokens out = std::move(extra);
    if (add_bos) {
        out.push_back(llama_vocab_bos(vocab));
    }
    append(out, layout.suffix_first ? suffix : prefix);
    append(out, layout.suffix_first ? prefix : suffix);
    out.push_back(llama_vocab_fim_mid(vocab));
    return out;
}

} // namespace xlc
