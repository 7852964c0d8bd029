// A Python callable that native threads may call and release, also while the interpreter shuts down.
#pragma once

#include "bindings/gil.h"

#include <memory>

namespace xlc {

namespace nb = nanobind;

using HeldCallable = std::shared_ptr<nb::callable>;

inline HeldCallable hold(nb::callable callable) {
    return HeldCallable(new nb::callable(std::move(callable)), [](nb::callable* object) {
        GilAcquire gil;
        if (gil.is_valid()) {
            delete object; // else leaked: the interpreter that could free it is gone
        }
    });
}

} // namespace xlc
