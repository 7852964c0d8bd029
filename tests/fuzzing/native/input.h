// Helpers for the targets of libFuzzer (tests/fuzzing/README.md).
#pragma once

#include "support/errors.h"

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace xlc::fuzzing {

inline std::string text_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

// Return the parts before and after the first NUL character.
inline std::pair<std::string, std::string> two_texts(const uint8_t* data, size_t size) {
    const std::string whole = text_of(data, size);
    const size_t at = whole.find('\0');
    return at == std::string::npos ? std::make_pair(whole, std::string())
                                   : std::make_pair(whole.substr(0, at), whole.substr(at + 1));
}

// A file in memory, with a path.
class MemoryFile {
public:
    MemoryFile(const uint8_t* data, size_t size) : number_(memfd_create("input", 0)) {
        if (number_ < 0 || write(number_, data, size) != static_cast<ssize_t>(size)) {
            throw std::runtime_error("the input cannot be written");
        }
    }
    ~MemoryFile() { close(number_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(number_); }

private:
    const int number_;
};

// Call a function that may refuse its input with an error of ours. Any other exception ends the process,
// which is a finding.
template<typename Function> void may_refuse(const Function& function) {
    try {
        function();
    } catch (const Error&) {
    }
}

// A path that the runner passes.
inline std::string path_from(const char* variable) {
    const char* path = std::getenv(variable);
    if (path == nullptr) {
        throw std::runtime_error(
            std::string(variable) + " is not set; start targets with cmake/fuzz_coverage.py");
    }
    return path;
}

} // namespace xlc::fuzzing
