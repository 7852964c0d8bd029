// The parts that patterns of a grammar require somewhere in a text, such as `\d{4}-\d{2}` in `.*\d{4}-\d{2}`.
// A search for an ending cannot guess them, because every character may stand there.
#pragma once

#include <string>
#include <vector>

namespace xlc {

struct RequiredPart {
    std::string pattern; // a regular expression as Lark writes it, without the slashes
    bool in_json;        // its text stands in a JSON string

    bool operator==(const RequiredPart& other) const {
        return pattern == other.pattern && in_json == other.in_json;
    }
};

// Return the parts that patterns of JSON schemas in the grammar, or the regular expression that is all of the
// grammar, require between stretches of any text; at most eight, each once. Patterns without such a
// stretch do not have any.
std::vector<RequiredPart> required_parts(const std::string& grammar);

} // namespace xlc
