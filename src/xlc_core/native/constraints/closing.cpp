#include "constraints/closing.h"

#include "support/request_registry.h"

#include <algorithm>
#include <cstdlib>

namespace xlc {

namespace {

constexpr const char* mark = "xllama-closing ";

} // namespace

void mark_closing(std::string& grammar, const std::shared_ptr<Closing>& closing) {
    const bool is_lark = grammar.compare(0, 11, "%llguidance") == 0;
    const std::string comment = std::string(is_lark ? "\n// " : "\n# ") + mark;
    grammar.resize(std::min(grammar.rfind(comment), grammar.size()));

    grammar += comment + std::to_string(RequestRegistry<Closing>::instance().add(closing));
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
