#include "constraints/required_parts.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <optional>

namespace xlc {

namespace {

constexpr size_t max_parts = 8;
constexpr size_t max_length = 500; // of a pattern: the time and the stack for one grow with it

// Return the place behind the group, the class, the escape or the single character that starts here.
size_t end_of_atom(const std::string& pattern, size_t at) {
    if (pattern[at] == '(') {
        ++at;
        while (at < pattern.size() && pattern[at] != ')') {
            at = end_of_atom(pattern, at);
        }
    } else if (pattern[at] == '[') {
        ++at;
        at += pattern.compare(at, 1, "^") == 0 ? 1 : 0;
        at += pattern.compare(at, 1, "]") == 0 ? 1 : 0; // the first one is a character of the class
        while (at < pattern.size() && pattern[at] != ']') {
            at += pattern[at] == '\\' ? 2 : 1;
        }
    } else if (pattern[at] == '\\') {
        ++at;
    }
    return std::min(at + 1, pattern.size());
}

// A repetition without a limit: how often at least, and the place behind it.
struct Repetition {
    std::string least;
    size_t end;
};

std::optional<Repetition> endless_repetition(const std::string& pattern, size_t at) {
    std::optional<Repetition> out;
    if (pattern.compare(at, 1, "*") == 0 || pattern.compare(at, 1, "+") == 0) {
        out = {pattern[at] == '*' ? "0" : "1", at + 1};
    } else if (pattern.compare(at, 1, "{") == 0) {
        const size_t comma = pattern.find_first_not_of("0123456789", at + 1);
        if (comma != std::string::npos && pattern.compare(comma, 2, ",}") == 0) {
            out = {pattern.substr(at + 1, comma - at - 1), comma + 2};
        }
    }
    if (out && pattern.compare(out->end, 1, "?") == 0) {
        ++out->end; // as few as possible
    }
    return out;
}

// Whether almost any character, or word, may be this atom.
bool is_wide(const std::string& atom) {
    if (atom.front() == '(') {
        const size_t inner = atom.compare(1, 2, "?:") == 0 ? 3 : 1;
        return inner + 1 < atom.size() && is_wide(atom.substr(inner, end_of_atom(atom, inner) - inner));
    }
    constexpr const char* wide[] = {".",        "\\w",      "\\S",      "\\W",      "\\D",
                                    "[\\s\\S]", "[\\S\\s]", "[\\w\\W]", "[\\W\\w]", "[\\d\\D]"};
    return atom.compare(0, 2, "[^") == 0 ||
           std::find(std::begin(wide), std::end(wide), atom) != std::end(wide);
}

// A letter for a character that it may be: the search alone would take a quote.
std::string shortest(const std::string& atom, const std::string& least) {
    const bool may_be_letter =
        atom == "." || atom == "\\w" || atom == "\\S" || atom == "\\D" ||
        (atom.front() == '[' && std::none_of(atom.begin(), atom.end(), [](unsigned char c) {
             return std::isalpha(c) || c == '\\';
         }));
    return (may_be_letter ? "a" : atom) + "{" + least + "}";
}

// Return what may end a text of the pattern, the longest first: the rest of it from the start, and from each
// stretch where almost any text may stand. These stretches are as short as they may be.
std::vector<std::string> parts_of(std::string pattern) {
    if (pattern.size() > max_length) {
        return {};
    }
    const bool from_start = !pattern.empty() && pattern.front() == '^';
    const bool to_end = pattern.size() > 1 && pattern.back() == '$' && pattern[pattern.size() - 2] != '\\';
    pattern = pattern.substr(from_start ? 1 : 0, pattern.size() - (from_start ? 1 : 0) - (to_end ? 1 : 0));
    std::vector<std::string> parts(1);
    for (size_t at = 0; at < pattern.size();) {
        const size_t end = end_of_atom(pattern, at);
        const std::string atom = pattern.substr(at, end - at);
        if (atom == "|") {
            return {pattern};
        }
        const auto repetition = endless_repetition(pattern, end);
        const bool is_stretch = repetition && is_wide(atom);
        if (is_stretch) {
            parts.emplace_back();
        }
        for (std::string& part : parts) {
            part += is_stretch ? shortest(atom, repetition->least) : atom;
        }
        at = is_stretch ? repetition->end : end;
    }
    if (from_start) {
        parts.erase(parts.begin()); // the grammar forces it
    }
    return parts;
}

// Write what ends a Lark literal, or may not stand in one, in another way.
std::string as_lark(const std::string& pattern) {
    std::string out;
    for (size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) {
            out += pattern.substr(at++, 2);
        } else if (pattern[at] == '/') {
            out += "\\/";
        } else if (pattern[at] == '\n') {
            out += "\\n";
        } else {
            out += pattern[at];
        }
    }
    return out;
}

// Return the place of the quote or the slash that ends a literal.
size_t end_of_literal(const std::string& text, size_t start, char end) {
    while (start < text.size() && text[start] != end) {
        start += text[start] == '\\' ? 2 : 1;
    }
    return start;
}

} // namespace

std::vector<RequiredPart> required_parts(const std::string& grammar) {
    std::vector<RequiredPart> out;
    const auto add = [&out](const std::string& pattern, bool in_json) {
        for (const std::string& part : parts_of(pattern)) {
            const RequiredPart found = {in_json ? as_lark(part) : part, in_json};
            if (!part.empty() && out.size() < max_parts &&
                std::find(out.begin(), out.end(), found) == out.end()) {
                out.push_back(found);
            }
        }
    };
    const std::string key = "\"pattern\":";
    for (size_t at = grammar.find(key); at != std::string::npos && out.size() < max_parts;
         at = grammar.find(key, at + 1)) {
        const size_t start = grammar.find_first_not_of(' ', at + key.size());
        if (start == std::string::npos || grammar[start] != '"') {
            continue;
        }
        const size_t end = end_of_literal(grammar, start + 1, '"');
        const auto text = nlohmann::json::parse(grammar.substr(start, end + 1 - start), nullptr, false);
        if (text.is_string()) {
            add(text.get<std::string>(), true);
        }
    }
    const std::string start = "%llguidance {} start: /";
    if (grammar.compare(0, start.size(), start) == 0) {
        add(grammar.substr(start.size(), end_of_literal(grammar, start.size(), '/') - start.size()), false);
    }
    return out;
}

} // namespace xlc
