// Texts in which the names of control tokens are only text. A mark breaks these names, so that nothing finds
// them; llama.cpp's tokenizer takes it out again (overrides/src/marked_text.h).
#pragma once

#include <string>

namespace xlc {

// The mark of the texts that this thread tokenises; nullptr for texts without one.
inline thread_local const std::string* text_mark = nullptr;

// Sets the mark of this thread's texts while it lives. With an empty one they have no mark.
class TextMarkScope {
public:
    explicit TextMarkScope(const std::string& mark) : outer_(text_mark) {
        text_mark = mark.empty() ? nullptr : &mark;
    }
    ~TextMarkScope() { text_mark = outer_; }
    TextMarkScope(const TextMarkScope&) = delete;
    TextMarkScope& operator=(const TextMarkScope&) = delete;

private:
    const std::string* outer_;
};

inline std::string without_mark(std::string text, const std::string& mark) {
    if (mark.empty()) {
        return text;
    }
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
        text.erase(at, mark.size());
    }
    return text;
}

} // namespace xlc
