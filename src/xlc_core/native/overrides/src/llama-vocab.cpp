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

#include "llama.h"
#include "overrides/src/regex_split.h"
#include "overrides/src/spacing_marks.h"
#include "support/interruption.h"
#include "unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

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
#include "src/llama-vocab.cpp"
