#include "constraints/gbnf.h"

#include "constraints/gbnf_analysis.h"
#include "support/errors.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace xlc::gbnf {

namespace {

// llama.cpp's parser and its search for left recursion recurse, and the parser writes repetitions out. Beyond
// these limits a small stack or the memory would overflow. Grammars from people and converters stay far
// below.
constexpr size_t max_nesting = 64;            // parentheses within parentheses
constexpr size_t max_written_out = 1'000'000; // elements of all repetitions
constexpr uint64_t max_chain = 4'000;         // rules that begin with a rule; {0,n} creates n of them
constexpr uint64_t max_paths = 20'000;        // ways to a first character; llama.cpp follows each of them
constexpr size_t max_stacks = 2'000;          // alternatives at the same time while a text is checked
constexpr size_t max_quoted = 40;             // characters quoted from where the parser stopped

[[noreturn]] void refuse(const std::string& reason) {
    throw Error(ErrorKind::constraint, "the GBNF grammar is refused: " + reason);
}

std::string place_of(const std::string& grammar, size_t at) {
    const auto begin = grammar.begin();
    const auto line = std::count(begin, begin + static_cast<ptrdiff_t>(at), '\n') + 1;
    const size_t line_start = at == 0 ? 0 : grammar.rfind('\n', at - 1) + 1; // npos + 1 is 0
    return "line " + std::to_string(line) + ", column " + std::to_string(at - line_start + 1);
}

// The numbers within the braces that open at i, capped so that products stay small.
std::vector<size_t> numbers_at(const std::string& grammar, size_t i) {
    std::vector<size_t> numbers;
    bool in_number = false;
    for (++i; i < grammar.size() && grammar[i] != '}'; ++i) {
        if (grammar[i] == '#') { // a comment, to the end of the line
            i = std::min(grammar.find_first_of("\r\n", i), grammar.size()) - 1;
            in_number = false;
            continue;
        }
        const bool is_digit = grammar[i] >= '0' && grammar[i] <= '9';
        if (is_digit) {
            if (!in_number) {
                numbers.push_back(0);
            }
            const auto digit = static_cast<size_t>(grammar[i] - '0');
            numbers.back() = std::min<size_t>(numbers.back() * 10 + digit, max_written_out);
        }
        in_number = is_digit;
    }
    return numbers;
}

// The elements that a repetition writes out for each element of what it repeats.
size_t repetitions_at(const std::string& grammar, size_t i) {
    const std::vector<size_t> numbers = numbers_at(grammar, i);
    // llama.cpp's parser counts down from the difference, which is then almost 2^64.
    if (numbers.size() == 2 && numbers[1] < numbers[0]) {
        refuse(
            "a repetition has the minimum " + std::to_string(numbers[0]) + " and the maximum " +
            std::to_string(numbers[1]) + " at " + place_of(grammar, i) + "; write the smaller number first");
    }
    return numbers.empty() ? 0 : *std::max_element(numbers.begin(), numbers.end());
}

// Check the limits before llama.cpp's parser runs. Parses just enough of the grammar to skip parentheses and
// braces in strings, character classes and comments.
void check_size(const std::string& grammar) {
    size_t depth = 0;
    size_t written_out = 0;
    size_t atom_start = 0; // start of the last string or class
    size_t atom_size = 1;
    char closing = '\0'; // ends the string, class or comment that we are in
    for (size_t i = 0; i < grammar.size(); ++i) {
        const char c = grammar[i];
        if (c == '\0') {
            refuse("NUL character at " + place_of(grammar, i));
        } else if (closing == '\n') {
            closing = c == '\n' || c == '\r' ? '\0' : closing;
        } else if (closing != '\0') {
            if (c == '\\') {
                ++i;
            } else if (c == closing) {
                closing = '\0';
                atom_size = i - atom_start;
            }
        } else if (c == '"' || c == '[') {
            closing = c == '"' ? '"' : ']';
            atom_start = i;
        } else if (c == '#') {
            closing = '\n';
        } else if (c == '{') {
            written_out += atom_size * repetitions_at(grammar, i);
            if (written_out > max_written_out) {
                refuse(
                    "its repetitions have more than " + std::to_string(max_written_out) + " elements at " +
                    place_of(grammar, i) + "; llama.cpp writes them out, so use smaller bounds");
            }
        } else if (c == '(' && ++depth > max_nesting) {
            refuse(
                "parentheses are nested more than " + std::to_string(max_nesting) + " deep at " +
                place_of(grammar, i) + "; move the inner part into its own rule");
        } else if (c == ')') {
            depth -= depth > 0 ? 1 : 0;
            atom_size = 1; // the parser turns a group into a reference
        }
    }
}

size_t skip_space(const std::string& grammar) {
    size_t i = 0;
    while (i < grammar.size()) {
        if (grammar[i] == '#') {
            i = std::min(grammar.find_first_of("\r\n", i), grammar.size());
        } else if (grammar[i] == ' ' || grammar[i] == '\t' || grammar[i] == '\r' || grammar[i] == '\n') {
            ++i;
        } else {
            break;
        }
    }
    return i;
}

// The parser's messages end with the whole rest of the grammar. Replace it by its line and column.
std::string located(const std::string& reason, const std::string& grammar, size_t rule_start) {
    for (size_t at = reason.find(" at "); at != std::string::npos; at = reason.find(" at ", at + 1)) {
        const std::string rest = reason.substr(at + 4);
        const size_t place = grammar.size() - std::min(rest.size(), grammar.size());
        if (grammar.compare(place, std::string::npos, rest) == 0) {
            const std::string near = rest.substr(0, std::min(rest.find('\n'), max_quoted));
            return reason.substr(0, at) + " at " + place_of(grammar, place) +
                   (near.empty() ? "" : ": " + near);
        }
    }
    return reason + ", in the rule at " + place_of(grammar, rule_start);
}

// Like llama_grammar_parser::parse, but without its message on stderr.
llama_grammar_parser parse(const llama_vocab* vocab, const std::string& grammar) {
    check_size(grammar);
    llama_grammar_parser parser(vocab);
    const char* const begin = grammar.c_str();
    const char* at = begin + skip_space(grammar);
    while (*at != '\0') {
        try {
            at = parser.parse_rule(at);
        } catch (const std::exception& error) {
            refuse(located(error.what(), grammar, static_cast<size_t>(at - begin)));
        }
    }
    parser.rules.resize(parser.symbol_ids.size());
    for (const auto& [name, id] : parser.symbol_ids) {
        if (parser.rules[id].empty()) {
            refuse("rule '" + name + "' is used but not defined");
        }
    }
    if (parser.symbol_ids.count("root") == 0) {
        refuse("it does not define the rule 'root', where an answer begins");
    }
    return parser;
}

void check_structure(const llama_grammar_parser& parser) {
    const LeftStructure structure = analyse(parser.rules);
    if (structure.left_recursive) {
        const auto symbol =
            std::find_if(parser.symbol_ids.begin(), parser.symbol_ids.end(), [&](const auto& entry) {
                return entry.second == *structure.left_recursive;
            });
        refuse(
            "rule '" + symbol->first +
            "' returns to itself before it reads a character (left recursion); write it as a repetition");
    }
    if (structure.longest_chain > max_chain) {
        refuse("more than " + std::to_string(max_chain) + " rules begin with one another");
    }
    if (structure.most_paths > max_paths) {
        refuse(
            "it is too ambiguous: more than " + std::to_string(max_paths) +
            " ways lead to a first character");
    }
}

struct GrammarDeleter {
    void operator()(llama_grammar* grammar) const { llama_grammar_free_impl(grammar); }
};
using GrammarPtr = std::unique_ptr<llama_grammar, GrammarDeleter>;

GrammarPtr compile(const llama_vocab* vocab, const std::string& grammar) {
    llama_grammar_parser parser = parse(vocab, grammar);
    check_structure(parser);
    auto rules = parser.c_rules();
    GrammarPtr compiled(
        llama_grammar_init_impl(vocab, rules.data(), rules.size(), parser.symbol_ids.at("root")));
    if (!compiled) {
        refuse(
            "llama.cpp finds left recursion in it; let no repeated or recursive part begin with an empty "
            "one");
    }
    return compiled;
}

// The code point at i and its length in bytes; a length of 0 where the text is not UTF-8.
std::pair<uint32_t, size_t> code_point_at(std::string_view text, size_t i) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 0;
    if (length == 0 || i + length > text.size()) {
        return {0, 0};
    }
    uint32_t code_point = length == 1 ? first : first & (0x7Fu >> length);
    for (size_t k = 1; k < length; ++k) {
        code_point = (code_point << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3Fu);
    }
    return {code_point, length};
}

bool may_end(const llama_grammar_stacks& stacks) {
    return std::any_of(stacks.begin(), stacks.end(), [](const auto& stack) { return stack.empty(); });
}

} // namespace

void check(const llama_vocab* vocab, const std::string& grammar) {
    compile(vocab, grammar);
}

Explanation explain(const llama_vocab* vocab, const std::string& grammar, std::string_view text) {
    const GrammarPtr compiled = compile(vocab, grammar);
    llama_grammar_stacks& stacks = llama_grammar_get_stacks(compiled.get());
    llama_grammar_stacks before = stacks;
    Explanation found;
    while (found.n_bytes < text.size()) {
        const auto [code_point, length] = code_point_at(text, found.n_bytes);
        if (length == 0) {
            break;
        }
        llama_grammar_accept(compiled.get(), code_point);
        if (stacks.empty()) {
            break;
        }
        if (stacks.size() > max_stacks) {
            refuse("it is too ambiguous: " + std::to_string(stacks.size()) + " readings of one text");
        }
        found.n_bytes += length;
        before = stacks;
    }
    found.complete = may_end(before);
    found.accepted = found.complete && found.n_bytes == text.size();
    if (!found.accepted) {
        for (uint32_t c = '\t'; c <= '~'; ++c) { // only a sample of the allowed characters: ASCII
            stacks = before;
            llama_grammar_accept(compiled.get(), c);
            if (!stacks.empty()) {
                found.expected.emplace_back(1, static_cast<char>(c));
            }
        }
    }
    return found;
}

} // namespace xlc::gbnf
