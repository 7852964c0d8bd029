// Finds places where a long text can be cut without changing its tokens.
#pragma once

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_set>

namespace xlc {

// Tokenising a megabyte takes seconds and cannot be interrupted. Most of that work would be wasted, since a
// model reads only some hundred tokens of the text. Const and safe to call from several threads.
class TextSplitter {
public:
    explicit TextSplitter(const llama_vocab* vocab);

    // Whether a text is long enough to split and this vocabulary's tokens allow it.
    bool is_long(std::string_view text) const;

    // The end of the part that begins here. If there is no boundary, the end of the text.
    size_t end_of_part(std::string_view text, size_t begin) const;
    // The beginning of the part that ends here. Never before `first`.
    size_t begin_of_part(std::string_view text, size_t end, size_t first) const;
    // The last boundary before this one, or 0.
    size_t boundary_before(std::string_view text, size_t end) const;

private:
    enum class Kind { none, words, letters };

    bool is_alone(std::string_view text, size_t at) const;
    bool is_boundary(std::string_view text, size_t at) const;

    Kind kind_;
    // SentencePiece only: the non-ASCII characters that occur in tokens. Other characters become bytes, and
    // llama.cpp's time for these grows with the square of the text's length.
    bool knows_characters_ = false;
    std::unordered_set<uint32_t> characters_;
};

} // namespace xlc
