// Sends llama.cpp's and our log lines to Python's logging. No line is ever printed.
#pragma once

#include "ggml.h"

#include <functional>
#include <string>
#include <vector>

namespace xlc {

// The numbers of Python's logging levels, so that they need no translation.
enum class LogLevel : int { debug = 10, info = 20, warning = 30, error = 40 };

struct LogLine {
    LogLevel level;
    std::string text;
};

// Send a line to the sink. Cheap when its level is below the threshold. From any thread, with or without GIL.
void log_line(LogLevel level, const std::string& text);

inline void log_warning(const std::string& text) {
    log_line(LogLevel::warning, text);
}

// Log a fragment of a line, as ggml emits it. Each thread's fragments are joined until a line break comes.
void log_fragment(LogLevel level, bool continues, const char* text);

// Lines below this level are dropped at once.
void set_log_level(LogLevel level);
LogLevel log_level();

// Receives the lines: called on a separate thread with all lines that were collected, in this process and in
// processes that are forked from it.
using LogSink = std::function<void(std::vector<LogLine>)>;
void set_log_sink(LogSink receiver);

// Deliver the collected lines and end the thread. Later lines are dropped.
void stop_logging();

// Make ggml and llama.cpp log through log_fragment. Call when the module is imported.
void redirect_llama_logs();

// Like llama_log_get and llama_log_set, but for the lines of this thread only. llama.cpp puts its own logger
// in the process's place while it measures a model, and an engine that another thread loads meanwhile would
// call a logger that is gone.
using LlamaLogger = void (*)(ggml_log_level level, const char* text, void* data);
void get_thread_logger(LlamaLogger* logger, void** data);
void set_thread_logger(LlamaLogger logger, void* data);

// While it lives, collects the warnings and errors that this thread logs, at any threshold, so that the error
// of a failed load can say why. With `swallow` they are not logged elsewhere. The watcher sees every line of
// this thread first. Its exceptions pass through llama.cpp to the caller of llama.cpp.
class LogCapture {
public:
    using Watcher = std::function<void(const std::string&)>;

    explicit LogCapture(bool swallow = false, Watcher watcher = {});
    ~LogCapture();
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    // Do not log what follows elsewhere.
    void swallow() { swallow_ = true; }

    // The distinct errors, or without errors the warnings, joined by "; ".
    std::string summary() const;

private:
    friend void log_line(LogLevel level, const std::string& text);
    std::vector<LogLine> lines_;
    bool swallow_;
    const Watcher watcher_;
    LogCapture* outer_;
};

} // namespace xlc
