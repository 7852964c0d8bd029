// Where a long text may be cut so that its parts have the tokens that they have in the whole.
#pragma once

#include <llama.h>

#include <cstddef>
#include <string_view>

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

    bool is_boundary(std::string_view text, size_t at) const;

    Kind kind_;
};

} // namespace xlc
