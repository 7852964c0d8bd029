#include "support/logging.h"

#include "support/process.h"
#include "support/thread.h"

#include "llama.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

namespace xlc {

namespace {

constexpr size_t max_waiting_lines = 10000; // limits memory when a sink hangs

thread_local LogCapture* capture = nullptr;
thread_local LogLine unfinished{LogLevel::info, ""};

std::atomic<int> threshold{static_cast<int>(LogLevel::warning)};

// Collects lines and passes them to the sink on a separate thread. So a line also reaches Python when the
// thread that logged it must not take the GIL.
class LogThread {
public:
    explicit LogThread(LogSink receiver) : sink_(std::move(receiver)), thread_([this] { run(); }) {}

    ~LogThread() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    void add(LogLine line) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (lines_.size() >= max_waiting_lines) {
                return;
            }
            lines_.push_back(std::move(line));
        }
        changed_.notify_all();
    }

private:
    void run() {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!stopping_ || !lines_.empty()) {
            changed_.wait(lock, [this] { return stopping_ || !lines_.empty(); });
            std::vector<LogLine> batch(
                std::make_move_iterator(lines_.begin()), std::make_move_iterator(lines_.end()));
            lines_.clear();
            lock.unlock();
            if (!batch.empty()) {
                sink_(std::move(batch));
            }
            lock.lock();
        }
    }

    LogSink sink_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<LogLine> lines_;
    bool stopping_ = false;
    Thread thread_; // last, because it uses all members above
};

struct Output {
    std::mutex mutex;
    std::unique_ptr<LogThread> thread; // started with the first line
};

// Receives the lines of this process and of those that are forked from it; nullptr: nothing does. An old sink
// is never deleted, because a thread may be reading it.
std::atomic<const LogSink*> sink{nullptr};

LogLevel from_ggml(ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_ERROR:
        return LogLevel::error;
    case GGML_LOG_LEVEL_WARN:
        return LogLevel::warning;
    default:
        return LogLevel::debug; // llama.cpp's info level is a page of text per model
    }
}

void log_llama_line(ggml_log_level level, const char* text, void* /*data*/) {
    log_fragment(from_ggml(level), level == GGML_LOG_LEVEL_CONT, text);
}

struct ThreadLogger {
    LlamaLogger call = log_llama_line;
    void* data = nullptr;
};

thread_local ThreadLogger thread_logger;

} // namespace

void log_line(LogLevel level, const std::string& text) {
    if (capture && capture->watcher_) {
        capture->watcher_(text);
    }
    if (capture && level >= LogLevel::warning) {
        capture->lines_.push_back({level, text});
        if (capture->swallow_) {
            return;
        }
    }
    if (static_cast<int>(level) < threshold.load(std::memory_order_relaxed)) {
        return;
    }
    auto& output = one_per_process<Output>();
    std::lock_guard<std::mutex> lock(output.mutex);
    const LogSink* current = sink.load();
    if (!output.thread && current) {
        try {
            output.thread = std::make_unique<LogThread>(*current);
        } catch (const Error&) {
            return; // there are too many threads; the next line tries again
        }
    }
    if (output.thread) {
        output.thread->add({level, text});
    }
}

void log_fragment(LogLevel level, bool continues, const char* text) {
    // Any text continues an unfinished line, even without GGML_LOG_LEVEL_CONT, as it would on a terminal.
    if (!continues && unfinished.text.empty()) {
        unfinished.level = level;
    }
    unfinished.text += text;
    size_t start = 0;
    for (size_t end; (end = unfinished.text.find('\n', start)) != std::string::npos; start = end + 1) {
        if (end > start) {
            log_line(unfinished.level, unfinished.text.substr(start, end - start));
        }
    }
    unfinished.text.erase(0, start);
}

void set_log_level(LogLevel level) {
    threshold = static_cast<int>(level);
}

LogLevel log_level() {
    return static_cast<LogLevel>(threshold.load(std::memory_order_relaxed));
}

void set_log_sink(LogSink receiver) {
    stop_logging();
    sink = new LogSink(std::move(receiver));
}

void stop_logging() {
    sink = nullptr;
    std::unique_ptr<LogThread> old; // destroyed after the lock is released, because the sink may log
    auto& output = one_per_process<Output>();
    std::lock_guard<std::mutex> lock(output.mutex);
    old = std::move(output.thread);
}

void redirect_llama_logs() {
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
            thread_logger.call(level, text, thread_logger.data);
        },
        nullptr);
}

void get_thread_logger(LlamaLogger* logger, void** data) {
    *logger = thread_logger.call;
    *data = thread_logger.data;
}

void set_thread_logger(LlamaLogger logger, void* data) {
    thread_logger = {logger, data};
}

LogCapture::LogCapture(bool swallow, Watcher watcher)
    : swallow_(swallow), watcher_(std::move(watcher)), outer_(capture) {
    capture = this;
}

LogCapture::~LogCapture() {
    capture = outer_;
}

std::string LogCapture::summary() const {
    const bool has_error = std::any_of(
        lines_.begin(), lines_.end(), [](const LogLine& line) { return line.level == LogLevel::error; });
    std::vector<std::string> texts;
    for (const LogLine& line : lines_) {
        const bool wanted = line.level == (has_error ? LogLevel::error : LogLevel::warning);
        if (wanted && std::find(texts.begin(), texts.end(), line.text) == texts.end()) {
            texts.push_back(line.text);
        }
    }
    std::string joined;
    for (const std::string& text : texts) {
        joined += (joined.empty() ? "" : "; ") + text;
    }
    return joined;
}

} // namespace xlc
