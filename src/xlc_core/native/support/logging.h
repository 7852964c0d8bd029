// llama.cpp's and our own log lines, on their way to Python's logging. No line is ever printed.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace xlc {

// Python's numbers, so that no table is needed on the way.
enum class LogLevel : int { debug = 10, info = 20, warning = 30, error = 40 };

struct LogLine {
    LogLevel level;
    std::string text;
};

// Hand a line to the sink. Cheap when its level is below the threshold. From any thread, GIL or not.
void log_line(LogLevel level, const std::string& text);

inline void log_warning(const std::string& text) {
    log_line(LogLevel::warning, text);
}

// A fragment of a line as ggml emits it: lines are put together per thread until a line break comes.
void log_fragment(LogLevel level, bool continues, const char* text);

// Lines below the level are dropped where they arise.
void set_log_level(LogLevel level);
LogLevel log_level();

// Where lines go: called on a thread of its own with all the lines that have gathered.
using LogSink = std::function<void(std::vector<LogLine>)>;
void set_log_sink(LogSink sink);

// Deliver what has gathered and end the thread. Lines that come later are dropped.
void stop_logging();

// Make ggml and llama.cpp log through log_fragment. Idempotent.
void redirect_llama_logs();

// Gathers the warnings and errors that this thread logs while it lives, whatever the threshold, so that a
// failed load can say why.
// With `swallow` they go nowhere else. The watcher sees every line of this thread first; what it throws goes
// through llama.cpp to whoever called that.
class LogCapture {
public:
    using Watcher = std::function<void(const std::string&)>;

    explicit LogCapture(bool swallow = false, Watcher watcher = {});
    ~LogCapture();
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    // The distinct errors, or when there was none the warnings, joined by "; ".
    std::string summary() const;

private:
    friend void log_line(LogLevel level, const std::string& text);
    std::vector<LogLine> lines_;
    const bool swallow_;
    const Watcher watcher_;
    LogCapture* outer_;
};

} // namespace xlc
