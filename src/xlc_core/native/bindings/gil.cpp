#include "bindings/gil.h"

#include "support/process.h"

#include <chrono>

namespace xlc {

namespace {

constexpr auto longest_close = std::chrono::seconds(10);

[[noreturn]] void wait_for_exit() {
    while (true) {
        std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

} // namespace

GilGate& GilGate::instance() {
    return one_per_process<GilGate>();
}

// A thread first says that it is inside and then looks at the gate, and close() does it the other way round,
// so one of the two sees the other.
bool GilGate::enter() {
    ++n_inside_;
    if (!closed_ || closer_.load() == std::this_thread::get_id()) {
        return true;
    }
    --n_inside_;
    return false;
}

void GilGate::close() {
    closer_ = std::this_thread::get_id();
    closed_ = true;
    nb::set_leak_warnings(false); // threads that never return to Python keep their objects
    const nb::gil_scoped_release release;
    const auto end = std::chrono::steady_clock::now() + longest_close;
    while ((n_inside_ > 0 || n_native_ > 0) && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

GilRelease::GilRelease() : gate_(GilGate::instance()), state_(PyEval_SaveThread()) {
    gate_.begin_native();
}

GilRelease::~GilRelease() {
    const bool may_return = gate_.enter();
    gate_.end_native();
    if (!may_return) {
        wait_for_exit();
    }
    PyEval_RestoreThread(state_);
    gate_.leave();
}

GilAcquire::GilAcquire() : gate_(GilGate::instance()), entered_(gate_.enter()) {
    if (entered_) {
        gil_.emplace();
    }
}

GilAcquire::~GilAcquire() {
    gil_.reset();
    if (entered_) {
        gate_.leave();
    }
}

void bind_gil(nb::module_& m) {
    m.def(
        "close_gil_gate", [] { GilGate::instance().close(); },
        "Keep native threads away from the interpreter, which is about to end.");
    nb::module_::import_("atexit").attr("register")(m.attr("close_gil_gate"));
}

} // namespace xlc
