#include "retrieval/long_text.h"

#include <algorithm>
#include <string>

namespace xlc {

namespace {

// Shorter texts are tokenised as a whole, which takes a few milliseconds. Longer ones are tokenised in parts
// of about part_bytes.
constexpr size_t long_text_bytes = size_t(16) << 10;
constexpr size_t part_bytes = size_t(8) << 10;

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether the vocabulary has a token that contains a space after a letter, as superword tokenizers do.
bool has_token_across_words(const llama_vocab* vocab) {
    static constexpr std::string_view spaces[] = {" ", "\xE2\x96\x81", "\xC4\xA0"}; // plain, SPM's, BPE's
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
        if (llama_vocab_is_control(vocab, token)) {
            continue; // text never becomes a control token
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

// Return the character that begins here if it is not ASCII, else 0.
uint32_t wide_character(std::string_view text, size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    const size_t n_more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    if (n_more == 0 || at + n_more >= text.size()) {
        return 0;
    }
    uint32_t character = first & (0x3FU >> n_more);
    for (size_t i = 1; i <= n_more; ++i) {
        character = character << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
    }
    return character;
}

std::unordered_set<uint32_t> characters_of(const llama_vocab* vocab) {
    std::unordered_set<uint32_t> characters;
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
        const std::string text = std::string(llama_vocab_get_text(vocab, token)) + ' ';
        for (size_t at = 0; at < text.size(); ++at) {
            if (const uint32_t character = wide_character(text, at)) {
                characters.insert(character);
            }
        }
    }
    return characters;
}

} // namespace

TextSplitter::TextSplitter(const llama_vocab* vocab) {
    switch (llama_vocab_type(vocab)) {
    case LLAMA_VOCAB_TYPE_WPM:
        kind_ = Kind::words;
        break;
    case LLAMA_VOCAB_TYPE_SPM:
        kind_ = has_token_across_words(vocab) ? Kind::none : Kind::letters;
        knows_characters_ = true;
        characters_ = characters_of(vocab);
        break;
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

// WordPiece tokenises each word alone, and a Chinese character counts as a word. The other tokenizers first
// split a text by many rules and then merge or score within each piece. But all of them split between a
// letter, a space and a letter, and their rules do not look across such a place.
bool TextSplitter::is_boundary(std::string_view text, size_t at) const {
    const char c = text[at];
    if (kind_ == Kind::words) {
        const auto byte = static_cast<unsigned char>(c);
        return c == ' ' || c == '\n' || (byte >= 0xE5 && byte <= 0xE9);
    }
    if (c == ' ' && at > 0 && at + 1 < text.size() && is_letter(text[at - 1]) && is_letter(text[at + 1])) {
        return true;
    }
    return knows_characters_ && is_alone(text, at);
}

// Whether a character begins here that does not occur in any token, so that no token spans it.
bool TextSplitter::is_alone(std::string_view text, size_t at) const {
    const uint32_t character = wide_character(text, at);
    return character != 0 && characters_.count(character) == 0;
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
    for (size_t at = end; at > 0;) {
        --at;
        if (is_boundary(text, at)) {
            return at;
        }
    }
    return 0;
}

} // namespace xlc
