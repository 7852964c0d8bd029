#include "retrieval/long_text.h"

#include <algorithm>

namespace xlc {

namespace {

// Shorter texts are tokenised as a whole, which takes a few milliseconds; longer ones in parts of about this
// much.
constexpr size_t long_text_bytes = size_t(16) << 10;
constexpr size_t part_bytes = size_t(8) << 10;

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether a token of the vocabulary goes on over a space after a letter, as those of superword tokenizers do.
bool has_token_across_words(const llama_vocab* vocab) {
    static constexpr std::string_view spaces[] = {" ", "\xE2\x96\x81", "\xC4\xA0"}; // plain, SPM's, BPE's
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
        if (llama_vocab_is_control(vocab, token)) {
            continue; // no text becomes it
        }
        const std::string_view text = llama_vocab_get_text(vocab, token);
        for (const std::string_view space : spaces) {
            for (size_t at = text.find(space); at != std::string_view::npos; at = text.find(space, at + 1)) {
                if (at > 0 && is_letter(text[at - 1])) {
                    return true;
                }
            }
        }
    }
    return false;
}

} // namespace

TextSplitter::TextSplitter(const llama_vocab* vocab) {
    switch (llama_vocab_type(vocab)) {
    case LLAMA_VOCAB_TYPE_WPM:
        kind_ = Kind::words;
        break;
    case LLAMA_VOCAB_TYPE_SPM:
    case LLAMA_VOCAB_TYPE_BPE:
    case LLAMA_VOCAB_TYPE_UGM:
        kind_ = has_token_across_words(vocab) ? Kind::none : Kind::letters;
        break;
    default:
        kind_ = Kind::none;
    }
}

bool TextSplitter::is_long(std::string_view text) const {
    return kind_ != Kind::none && text.size() > long_text_bytes;
}

// WordPiece looks at each word alone, and a Chinese character is a word. The others merge or score across
// what they have not split, and where they split is a matter of many rules; but none leaves a letter, a space
// and a letter together, or has a rule that looks across them.
bool TextSplitter::is_boundary(std::string_view text, size_t at) const {
    const char c = text[at];
    if (kind_ == Kind::words) {
        const auto byte = static_cast<unsigned char>(c);
        return c == ' ' || c == '\n' || (byte >= 0xE5 && byte <= 0xE9);
    }
    return c == ' ' && at > 0 && at + 1 < text.size() && is_letter(text[at - 1]) && is_letter(text[at + 1]);
}

size_t TextSplitter::end_of_part(std::string_view text, size_t begin) const {
    size_t at = begin + part_bytes;
    while (at < text.size() && !is_boundary(text, at)) {
        ++at;
    }
    return std::min(at, text.size());
}

size_t TextSplitter::begin_of_part(std::string_view text, size_t end, size_t first) const {
    size_t at = end - std::min(end, part_bytes);
    while (at > first && !is_boundary(text, at)) {
        --at;
    }
    return std::max(at, first);
}

size_t TextSplitter::boundary_before(std::string_view text, size_t end) const {
    size_t at = end;
    while (at > 0 && !is_boundary(text, --at)) {
    }
    return at;
}

} // namespace xlc
