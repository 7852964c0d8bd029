// llama.cpp's common/jinja/parser.cpp, with nodes that pay for what they do (paid_node.h), and a limit of
// size: the parser recurses for every bracket.

#include "overrides/common/jinja/paid_node.h"

#include "jinja/parser.h"

#include <cassert>
#include <stdexcept>

namespace {

// The largest templates of published models have some thousands.
constexpr size_t most_tokens = 50000;

} // namespace

// The one assertion of the file is where it makes its nodes, between making one and returning it.
#undef assert
#define assert(condition) ptr = xlc::paid(std::move(ptr))
namespace jinja {
program llama_cpp_parse_from_tokens(const lexer_result& lexed);
}
#define parse_from_tokens llama_cpp_parse_from_tokens
#include "common/jinja/parser.cpp"
#undef parse_from_tokens
#undef assert

jinja::program jinja::parse_from_tokens(const lexer_result& lexed) {
    if (lexed.tokens.size() > most_tokens) {
        throw std::runtime_error(
            "it has " + std::to_string(lexed.tokens.size()) + " tokens; at most " +
            std::to_string(most_tokens) + " are allowed");
    }
    return llama_cpp_parse_from_tokens(lexed);
}
