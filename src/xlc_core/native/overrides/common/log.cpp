// Replaces llama.cpp's common/log.cpp, whose thread prints to the process's stdout and stderr and is gone
// after a fork. The same functions, but every line goes to xlc::log_fragment.

#include "support/logging.h"

#include "log.h"

#include <cstdarg>
#include <cstdio>
#include <string>

struct common_log {};

namespace {

xlc::LogLevel to_level(ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_ERROR:
        return xlc::LogLevel::error;
    case GGML_LOG_LEVEL_WARN:
        return xlc::LogLevel::warning;
    case GGML_LOG_LEVEL_INFO:
        return xlc::LogLevel::info;
    default:
        return xlc::LogLevel::debug;
    }
}

} // namespace

// Errors and warnings are always formatted: a capture may need them even if Python's logging does not.
int common_log_get_verbosity_thold() {
    switch (xlc::log_level()) {
    case xlc::LogLevel::debug:
        return LOG_LEVEL_DEBUG;
    case xlc::LogLevel::info:
        return LOG_LEVEL_INFO;
    default:
        return LOG_LEVEL_WARN;
    }
}

int common_log_get_verbosity(ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_ERROR:
        return LOG_LEVEL_ERROR;
    case GGML_LOG_LEVEL_WARN:
        return LOG_LEVEL_WARN;
    default:
        return LOG_LEVEL_DEBUG;
    }
}

void common_log_add(common_log*, ggml_log_level level, const char* format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(nullptr, 0, format, args);
    va_end(args);
    if (length > 0) {
        std::string text(static_cast<size_t>(length) + 1, '\0');
        vsnprintf(text.data(), text.size(), format, again);
        text.pop_back();
        xlc::log_fragment(to_level(level), level == GGML_LOG_LEVEL_CONT, text.c_str());
    }
    va_end(again);
}

void common_log_default_callback(ggml_log_level level, const char* text, void*) {
    if (common_log_get_verbosity(level) <= common_log_get_verbosity_thold()) {
        common_log_add(common_log_main(), level, "%s", text);
    }
}

common_log* common_log_main() {
    static common_log log;
    return &log;
}

// The rest configures features that do not exist here: files, colours, prefixes and the thread.
common_log* common_log_init() {
    return new common_log;
}
void common_log_free(common_log* log) {
    delete log;
}
void common_log_pause(common_log*) {}
void common_log_resume(common_log*) {}
void common_log_flush(common_log*) {}
void common_log_set_verbosity_thold(int) {}
bool common_log_get_jsonl() {
    return false;
}
void common_log_set_jsonl(bool) {}
void common_log_set_file(common_log*, const char*) {}
void common_log_set_colors(common_log*, log_colors) {}
bool common_log_get_colors(common_log*) {
    return false;
}
void common_log_set_prefix(common_log*, bool) {}
void common_log_set_timestamps(common_log*, bool) {}
void common_log_add_json(common_log*, const char*, const common_json&) {}
