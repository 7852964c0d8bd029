#include "constraints/required_parts.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

namespace xlc {

namespace {

constexpr size_t max_parts = 8;
constexpr size_t max_length = 500; // of a part: what a longer one requires is longer than what it ends

// Return the place behind the class or the escape or the single character that starts here.
size_t end_of_atom(const std::string& pattern, size_t at) {
    if (pattern[at] == '\\') {
        return std::min(at + 2, pattern.size());
    }
    if (pattern[at] != '[') {
        return at + 1;
    }
    ++at;
    at += pattern.compare(at, 1, "^") == 0 ? 1 : 0;
    at += pattern.compare(at, 1, "]") == 0 ? 1 : 0; // the first one is a character of the class
    while (at < pattern.size() && pattern[at] != ']') {
        at += pattern[at] == '\\' ? 2 : 1;
    }
    return std::min(at + 1, pattern.size());
}

// Whether almost any text may stand here: `.*`, or `[^"]+`.
bool is_free_stretch(const std::string& pattern, size_t at, size_t end) {
    const bool repeats = end < pattern.size() && (pattern[end] == '*' || pattern[end] == '+');
    return repeats && (pattern[at] == '.' || pattern.compare(at, 2, "[^") == 0);
}

// Cut a pattern at its free stretches. A pattern of alternatives is one part.
std::vector<std::string> parts_of(std::string pattern) {
    const bool from_start = !pattern.empty() && pattern.front() == '^';
    const bool to_end = pattern.size() > 1 && pattern.back() == '$' && pattern[pattern.size() - 2] != '\\';
    pattern = pattern.substr(from_start ? 1 : 0, pattern.size() - (from_start ? 1 : 0) - (to_end ? 1 : 0));
    std::vector<std::string> parts(1);
    int depth = 0;
    for (size_t at = 0; at < pattern.size();) {
        size_t end = end_of_atom(pattern, at);
        depth += pattern[at] == '(' ? 1 : pattern[at] == ')' ? -1 : 0;
        if (depth == 0 && pattern[at] == '|') {
            return {pattern};
        }
        if (depth == 0 && is_free_stretch(pattern, at, end)) {
            end += pattern.compare(end + 1, 1, "?") == 0 ? 2 : 1;
            parts.emplace_back();
        } else {
            parts.back() += pattern.substr(at, end - at);
        }
        at = end;
    }
    const bool is_whole = parts.size() == 1 && from_start && to_end; // whatever fits is a part of it
    return is_whole ? std::vector<std::string>() : parts;
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
            if (!part.empty() && part.size() <= max_length && out.size() < max_parts &&
                std::find(out.begin(), out.end(), found) == out.end()) {
                out.push_back(found);
            }
        }
    };
    const std::string key = "\"pattern\":";
    for (size_t at = grammar.find(key); at != std::string::npos; at = grammar.find(key, at + 1)) {
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
