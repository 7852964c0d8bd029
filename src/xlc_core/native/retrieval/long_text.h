// Where a long text may be cut so that its parts have the tokens that they have in the whole.
#pragma once

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_set>

namespace xlc {

// Tokenising a megabyte takes seconds, cannot be interrupted, and mostly is for nothing, as a model takes
// some hundred tokens of it. Const and safe to call from several threads.
class TextSplitter {
public:
    explicit TextSplitter(const llama_vocab* vocab);

    // Whether a text is worth splitting, and this vocabulary's tokens allow it.
    bool is_long(std::string_view text) const;

    // The end of the part that begins here; the text's end where it has no boundary.
    size_t end_of_part(std::string_view text, size_t begin) const;
    // The beginning of the part that ends here, not before `first`.
    size_t begin_of_part(std::string_view text, size_t end, size_t first) const;
    // The last boundary before this one; 0 when there is none.
    size_t boundary_before(std::string_view text, size_t end) const;

private:
    enum class Kind { none, words, letters };

    bool is_alone(std::string_view text, size_t at) const;
    bool is_boundary(std::string_view text, size_t at) const;

    Kind kind_;
    // Of SentencePiece's vocabularies: the characters beyond ASCII that tokens are made of. With others,
    // which become bytes, llama.cpp takes time that grows with the square of the text.
    bool knows_characters_ = false;
    std::unordered_set<uint32_t> characters_;
};

} // namespace xlc
