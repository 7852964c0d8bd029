// Failures while llama.cpp reads a model file become errors of ours, wherever they are noticed.
#pragma once

#include "support/abort_guard.h"
#include "support/errors.h"

#include <new>
#include <string>

namespace xlc {

// Call function(), which reads the file, and return its result. Throws Error(model_load) with llama.cpp's
// reason, and Error(insufficient_memory).
template<typename Function> auto reading_file(const std::string& path, const Function& function) {
    try {
        return function();
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw Error(
            ErrorKind::insufficient_memory,
            "there is not enough memory for '" + path + "', or the sizes in this file are wrong");
    } catch (const std::exception& error) {
        throw Error(ErrorKind::model_load, "llama.cpp could not load '" + path + "': " + error.what());
    }
}

// Throw if an assertion has failed in a graph, such as that of a warm-up, whose result llama.cpp does not
// look at.
inline void check_assertions(const AssertionWatch& watch, const std::string& path) {
    if (watch.failed()) {
        throw Error(
            ErrorKind::model_load,
            "llama.cpp loaded '" + path + "' but cannot compute with it: " + watch.message());
    }
}

} // namespace xlc
