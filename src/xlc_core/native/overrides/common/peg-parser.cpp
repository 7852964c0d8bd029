// llama.cpp's common/peg-parser.cpp with a limit of depth. Its parsers call each other some ten times for
// every bracket within a bracket that a model writes.

#include "support/errors.h"

#include "peg-parser.h"

namespace {

// Enough for about 150 brackets, more than the JSON of a request may have. A call needs some 400 bytes of
// stack, and the threads that parse have 16 MiB (support/thread.h).
constexpr int most_parse_levels = 1500;

// One call of a parser by another, as long as it lives.
class ParseLevel {
public:
    ParseLevel() {
        if (n_levels_ >= most_parse_levels) {
            throw xlc::Error(
                xlc::ErrorKind::engine_failed,
                "the answer was ended, because it has more brackets within brackets than its parser reads; "
                "describe the arguments of tools by a schema that does not allow that");
        }
        ++n_levels_;
    }
    ~ParseLevel() { --n_levels_; }
    ParseLevel(const ParseLevel&) = delete;
    ParseLevel& operator=(const ParseLevel&) = delete;

private:
    static thread_local int n_levels_;
};

thread_local int ParseLevel::n_levels_ = 0;

} // namespace

// The object that runs one parser; the level ends with it.
#define exec(...)                                                                                            \
    exec(__VA_ARGS__);                                                                                       \
    const ParseLevel parse_level
#include "common/peg-parser.cpp"
