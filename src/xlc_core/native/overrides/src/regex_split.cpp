#include "overrides/src/regex_split.h"

#include "support/deep_stack.h"
#include "support/interruption.h"
#include "unicode.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace xlc {

namespace {

// A character needs about 400 bytes of stack. Some threads have only half a megabyte.
constexpr size_t shallow_run = 512;
// Twice this length fits into a deep stack. Longer runs are cut, although tokenizers were not trained with
// that.
constexpr size_t deepest_run = size_t(512) << 10;
// An expression of groups within each other needs several times as much.
constexpr size_t shallow_line = 64;
constexpr size_t deepest_line = size_t(64) << 10;

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// EXAONE-MoE's expression matches words and the spaces between them, also a whole page. The others never
// match much more than one run of spaces, or of other characters.
bool matches_spaces_between_words(const std::vector<std::string>& regexes) {
    return std::any_of(regexes.begin(), regexes.end(), [](const std::string& regex) {
        return regex.find("(?: \\p{L}") != std::string::npos;
    });
}

// Return the longest run of spaces only, or of other characters only; the longest line if words and spaces
// are matched together.
size_t longest_run(const std::string& text, bool with_spaces) {
    const auto is_break = [&](size_t at) {
        return with_spaces ? text[at] == '\n' : is_space(text[at]) != is_space(text[at - 1]);
    };
    size_t longest = 0;
    size_t begin = 0;
    for (size_t at = 1; at <= text.size(); ++at) {
        if (at == text.size() || is_break(at)) {
            longest = std::max(longest, at - begin);
            begin = at;
        }
    }
    return longest;
}

bool begins_character(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

} // namespace

std::vector<std::string>
split_by_regexes(const std::string& text, const std::vector<std::string>& regexes, bool byte_encode) {
    check_stop();
    const bool with_spaces = matches_spaces_between_words(regexes);
    const size_t run = longest_run(text, with_spaces);
    const size_t deepest = with_spaces ? deepest_line : deepest_run;
    if (run <= (with_spaces ? shallow_line : shallow_run)) {
        return unicode_regex_split(text, regexes, byte_encode);
    }
    const size_t part_size = run <= deepest ? text.size() : deepest;
    std::vector<std::string> words;
    for (size_t begin = 0; begin < text.size();) {
        check_stop();
        size_t end = std::min(begin + part_size, text.size());
        while (end < text.size() && !begins_character(text[end])) {
            ++end;
        }
        on_deep_stack([&] {
            std::vector<std::string> found =
                unicode_regex_split(text.substr(begin, end - begin), regexes, byte_encode);
            std::move(found.begin(), found.end(), std::back_inserter(words));
        });
        begin = end;
    }
    return words;
}

} // namespace xlc
