// llama.cpp's src/llama-vocab.cpp, which treats accents like BERT: the two functions that its WordPiece
// tokenizer calls are wrapped where it calls them.
//
// BERT decomposes characters and drops the marks without a width (Unicode's category Mn). llama.cpp keeps
// only the first part of each character, which loses the vowels of Hangul syllables, and drops all marks,
// also the vowels of Indic scripts.
//
// The other tokenizers split texts by regular expressions. Here they do so on a stack that is deep enough
// (overrides/src/regex_split.h).
//
// All of them end when they are asked to (support/interruption.h): at each character, and at each control
// token in the text, as the time that these take grows with the square of their number.
//
// The names of control tokens stay text where a mark says so (support/text_mark.h).

#include "llama.h"
#include "overrides/src/marked_text.h"
#include "overrides/src/regex_split.h"
#include "overrides/src/spacing_marks.h"
#include "support/interruption.h"
#include "support/text_mark.h"
#include "unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

int32_t llama_cpp_tokenize(
    const llama_vocab* vocab,
    const char* text,
    int32_t text_len,
    llama_token* tokens,
    int32_t n_tokens_max,
    bool add_special,
    bool parse_special);

namespace xlc {

namespace {

// Decomposition of Hangul syllables, by the Unicode Standard, section 3.12.
constexpr uint32_t first_syllable = 0xAC00;
constexpr uint32_t n_syllables = 11172;
constexpr uint32_t n_trailing = 28;
constexpr uint32_t n_with_leading = 21 * n_trailing;

void append_syllable(uint32_t index, std::vector<uint32_t>& out) {
    out.push_back(0x1100 + index / n_with_leading);
    out.push_back(0x1161 + index % n_with_leading / n_trailing);
    if (index % n_trailing != 0) {
        out.push_back(0x11A7 + index % n_trailing);
    }
}

// Canonical decomposition.
std::vector<uint32_t> decompose(const std::vector<uint32_t>& characters) {
    std::vector<uint32_t> out;
    out.reserve(characters.size());
    for (const uint32_t character : characters) {
        if (character >= first_syllable && character - first_syllable < n_syllables) {
            append_syllable(character - first_syllable, out);
            continue;
        }
        const auto* const found = std::lower_bound(
            std::begin(decompositions), std::end(decompositions), character,
            [](const Decomposition& entry, uint32_t value) { return entry.character < value; });
        if (found == std::end(decompositions) || found->character != character) {
            out.push_back(character);
            continue;
        }
        for (const uint32_t part : found->parts) {
            if (part != 0) {
                out.push_back(part);
            }
        }
    }
    return unicode_cpts_normalize_nfd(out);
}

unicode_cpt_flags flags_of(uint32_t character) {
    unicode_cpt_flags flags = unicode_cpt_flags_from_cpt(character);
    if (flags.is_accent_mark) {
        const auto after = std::upper_bound(
            std::begin(spacing_marks), std::end(spacing_marks), character,
            [](uint32_t value, const auto& run) { return value < run.first; });
        flags.is_accent_mark = after == std::begin(spacing_marks) || character > std::prev(after)->second;
    }
    return flags;
}

size_t stoppable_len_utf8(char first) {
    check_stop();
    return unicode_len_utf8(first);
}

} // namespace

} // namespace xlc

#define unicode_len_utf8 xlc::stoppable_len_utf8
#define LLAMA_TOKEN_ATTR_LSTRIP (xlc::check_stop(), LLAMA_TOKEN_ATTR_LSTRIP)
#define LLAMA_TOKEN_ATTR_RSTRIP (xlc::check_stop(), LLAMA_TOKEN_ATTR_RSTRIP)
#define unicode_cpts_normalize_nfd xlc::decompose
#define unicode_cpt_flags_from_cpt xlc::flags_of
#define unicode_regex_split xlc::split_by_regexes
#define llama_tokenize llama_cpp_tokenize
#include "src/llama-vocab.cpp"
#undef llama_tokenize

namespace {

std::vector<llama_token>
tokenize(const llama_vocab* vocab, const std::string& text, const std::string* mark, bool add_special) {
    const auto plain = [vocab](const std::string& part, bool with_ends) {
        return vocab->tokenize(part, with_ends, false);
    };
    return mark == nullptr ? xlc::tokenize_text(vocab, text, add_special, plain)
                           : xlc::tokenize_marked(vocab, text, *mark, add_special, plain);
}

} // namespace

int32_t llama_tokenize(
    const llama_vocab* vocab,
    const char* text,
    int32_t text_len,
    llama_token* tokens,
    int32_t n_tokens_max,
    bool add_special,
    bool parse_special) {
    const std::string* const mark = xlc::text_mark;
    const std::string_view all(text, static_cast<size_t>(text_len));
    if (parse_special && (mark == nullptr || all.find(*mark) == std::string_view::npos)) {
        return llama_cpp_tokenize(vocab, text, text_len, tokens, n_tokens_max, add_special, parse_special);
    }
    const std::vector<llama_token> found =
        tokenize(vocab, std::string(all), parse_special ? mark : nullptr, add_special);
    if (found.size() > INT32_MAX) {
        return INT32_MIN;
    }
    const auto n_tokens = static_cast<int32_t>(found.size());
    if (n_tokens > n_tokens_max) {
        return -n_tokens;
    }
    std::copy(found.begin(), found.end(), tokens);
    return n_tokens;
}
