#include "constraints/closing.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

namespace xlc {

namespace {

constexpr const char* mark = "xllama-closing ";

struct Registry {
    std::mutex mutex;
    int32_t last = 0;
    std::map<int32_t, std::weak_ptr<Closing>> closings;
};

Registry& registry() {
    static auto* instance = new Registry; // never destroyed: engines may still run at exit
    return *instance;
}

} // namespace

void mark_closing(std::string& grammar, const std::shared_ptr<Closing>& closing) {
    const bool is_lark = grammar.compare(0, 11, "%llguidance") == 0;
    const std::string comment = std::string(is_lark ? "\n// " : "\n# ") + mark;
    grammar.resize(std::min(grammar.rfind(comment), grammar.size()));

    Registry& all = registry();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (auto entry = all.closings.begin(); entry != all.closings.end();) {
        entry = entry->second.expired() ? all.closings.erase(entry) : std::next(entry);
    }
    all.closings[++all.last] = closing;
    grammar += comment + std::to_string(all.last);
}

std::shared_ptr<Closing> closing_of(const std::string& grammar) {
    const size_t at = grammar.rfind(mark);
    if (at == std::string::npos) {
        return nullptr;
    }
    const int number = std::atoi(grammar.c_str() + at + std::char_traits<char>::length(mark));
    Registry& all = registry();
    std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.closings.find(number);
    return found == all.closings.end() ? nullptr : found->second.lock();
}

} // namespace xlc
