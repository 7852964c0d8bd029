// Lets Python wait for a Waitable without the GIL: blocking, with working Ctrl+C, or through a waker for
// asyncio.
#pragma once

#include "bindings/held_callable.h"
#include "support/logging.h"
#include "support/seconds.h"
#include "support/waitable.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>

#include <exception>
#include <memory>
#include <string>

namespace xlc {

namespace nb = nanobind;

// Block until something is available or the timeout has passed. Return whether something is available. The
// GIL is released while waiting. Every 50 ms it is taken again to run signal handlers, so that Ctrl+C raises
// KeyboardInterrupt within 100 ms and cancels the work.
inline bool wait_with_signals(Waitable& waitable, std::optional<double> timeout_s) {
    using clock = std::chrono::steady_clock;
    constexpr auto signal_interval = std::chrono::milliseconds(50);
    const auto deadline = timeout_s ? clock::now() + to_duration(*timeout_s) : clock::time_point::max();
    while (true) {
        bool ready;
        {
            GilRelease release;
            ready = waitable.wait_ready(std::min(deadline, clock::now() + signal_interval));
        }
        if (ready) {
            return true;
        }
        if (PyErr_CheckSignals() != 0) {
            waitable.cancel();
            throw nb::python_error();
        }
        if (clock::now() >= deadline) {
            return false;
        }
    }
}

// Return work for Python that is cancelled when Python drops it before its end. An exception such as
// KeyboardInterrupt may come as soon as the native function has returned, when no object has the work yet.
template<typename T> std::shared_ptr<T> cancel_when_dropped(std::shared_ptr<T> work) {
    T* const object = work.get();
    return std::shared_ptr<T>(object, [work = std::move(work)](T*) {
        if (work->is_over() || !work->home().is_this()) {
            return;
        }
        try {
            GilRelease release;
            work->cancel();
        } catch (const std::exception& error) { // the work goes on to its end
            log_warning(std::string("work that was dropped could not be cancelled: ") + error.what());
        }
    });
}

inline Waitable::Waker make_waker(nb::callable callable) {
    const HeldCallable held = hold(std::move(callable));
    return [held] {
        GilAcquire gil;
        if (!gil.is_valid()) {
            return;
        }
        try {
            (*held)();
        } catch (nb::python_error& error) {
            error.discard_as_unraisable("xllama: waking an event loop");
        }
    };
}

// Shows the garbage collector the waker of a request that is over. If an event loop was closed with a request
// pending, the waker, the loop's task and the request hold each other. While a request runs, a native thread
// may call its waker, and then nothing may be freed.
template<typename T> int traverse_waker(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (nb::inst_ready(self)) {
        const T& waitable = *nb::inst_ptr<T>(self);
        if (waitable.is_over()) {
            Py_VISIT(static_cast<PyObject*>(waitable.waker_object()));
        }
    }
    return 0;
}

template<typename T> int clear_waker(PyObject* self) {
    T& waitable = *nb::inst_ptr<T>(self);
    if (waitable.home().is_this()) {
        waitable.set_waker({});
    }
    return 0;
}

// For nb::type_slots of a class derived from Waitable.
template<typename T>
inline PyType_Slot waitable_slots[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(traverse_waker<T>)},
    {Py_tp_clear, reinterpret_cast<void*>(clear_waker<T>)},
    {0, nullptr}};

// Adds wait, arm, set_waker and cancel to the binding of a class derived from Waitable. In a forked child the
// first two raise EngineFailedError and the others, which destructors call, do nothing.
template<typename Class> void def_gil_free_wait(Class& cls) {
    using T = typename Class::Type;
    cls.def(
           "wait",
           [](T& self, std::optional<double> timeout) {
               self.home().check();
               return wait_with_signals(self, timeout);
           },
           nb::arg("timeout") = nb::none(),
           "Block without the GIL until something is available, or for `timeout` seconds. Return whether "
           "something is available.")
        .def(
            "arm",
            [](T& self) {
                self.home().check();
                return self.arm();
            },
            "Ask for one call of the waker. Return False if something is already available.")
        .def(
            "set_waker",
            [](T& self, std::optional<nb::callable> waker) {
                if (self.home().is_this()) {
                    PyObject* const object = waker ? waker->ptr() : nullptr;
                    self.set_waker(waker ? make_waker(std::move(*waker)) : Waitable::Waker(), object);
                }
            },
            nb::arg("waker").none(),
            "Set the callable that a native thread calls, once per arm(), when something is available.")
        .def(
            "cancel",
            [](T& self) {
                if (self.home().is_this()) {
                    self.cancel();
                }
            },
            nb::call_guard<GilRelease>(), "Stop the work; idempotent.");
}

} // namespace xlc
