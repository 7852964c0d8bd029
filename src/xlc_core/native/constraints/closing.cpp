#include "constraints/closing.h"

#include "support/request_registry.h"

#include <algorithm>
#include <cstdlib>

namespace xlc {

namespace {

constexpr const char* mark = "xllama-closing ";

std::string comment_in(const std::string& grammar) {
    const bool is_lark = grammar.compare(0, 11, "%llguidance") == 0;
    return std::string(is_lark ? "\n// " : "\n# ") + mark;
}

} // namespace

std::string without_closing_mark(std::string grammar) {
    grammar.resize(std::min(grammar.rfind(comment_in(grammar)), grammar.size()));
    return grammar;
}

void mark_closing(std::string& grammar, const std::shared_ptr<Closing>& closing) {
    const std::string comment = comment_in(grammar);
    grammar = without_closing_mark(std::move(grammar)) + comment +
              std::to_string(RequestRegistry<Closing>::instance().add(closing));
}

std::shared_ptr<Closing> closing_of(const std::string& grammar) {
    const size_t at = grammar.rfind(mark);
    if (at == std::string::npos) {
        return nullptr;
    }
    const int number = std::atoi(grammar.c_str() + at + std::char_traits<char>::length(mark));
    return RequestRegistry<Closing>::instance().find(number);
}

} // namespace xlc
