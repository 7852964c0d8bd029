#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "bindings/held_callable.h"
#include "support/logging.h"

namespace xlc {

namespace nb = nanobind;

void bind_logging(nb::module_& m) {
    m.def(
        "set_log_sink",
        [](nb::callable deliver) {
            const HeldCallable held = hold(std::move(deliver));
            GilRelease release;
            set_log_sink([held](const std::vector<LogLine>& lines) {
                GilAcquire gil;
                if (!gil.is_valid()) {
                    return;
                }
                for (const LogLine& line : lines) {
                    try {
                        (*held)(static_cast<int>(line.level), nb::bytes(line.text.data(), line.text.size()));
                    } catch (nb::python_error& error) {
                        error.discard_as_unraisable("xllama: logging");
                    }
                }
            });
        },
        nb::arg("deliver"), "Pass each log line to deliver(level, text: bytes), on a separate thread.");
    m.def(
        "set_log_level", [](int level) { set_log_level(static_cast<LogLevel>(level)); }, nb::arg("level"),
        "Drop lines below this level of Python's logging at once.");
    m.def(
        "stop_logging", &stop_logging, nb::call_guard<GilRelease>(),
        "Deliver the collected lines and end the thread; for the end of the process.");
}

} // namespace xlc
