#include "bindings/bindings.h"

#include "support/abort_guard.h"
#include "support/errors.h"

#include <new>

namespace xlc {

namespace nb = nanobind;

namespace {

const char* class_name(ErrorKind kind) {
    switch (kind) {
    case ErrorKind::model_not_found:
        return "ModelNotFoundError";
    case ErrorKind::model_load:
        return "ModelLoadError";
    case ErrorKind::insufficient_memory:
        return "InsufficientMemoryError";
    case ErrorKind::invalid_request:
        return "InvalidRequestError";
    case ErrorKind::context_overflow:
        return "ContextOverflowError";
    case ErrorKind::constraint:
        return "ConstraintError";
    case ErrorKind::unsupported_feature:
        return "UnsupportedFeatureError";
    case ErrorKind::input_too_long:
        return "InputTooLongError";
    case ErrorKind::engine_closed:
        return "EngineClosedError";
    case ErrorKind::request_cancelled:
        return "RequestCancelledError";
    case ErrorKind::request_timeout:
        return "RequestTimeoutError";
    case ErrorKind::engine_failed:
        return "EngineFailedError";
    }
    return "XllamaError";
}

// llama.cpp's messages may hold any bytes.
nb::object to_python_text(const char* text) {
    return nb::steal(PyUnicode_DecodeUTF8(text, static_cast<Py_ssize_t>(strlen(text)), "replace"));
}

void raise(const Error& error) {
    const nb::object cls = nb::module_::import_("xlc_core.errors").attr(class_name(error.kind));
    const nb::object message = to_python_text(error.what());
    nb::object instance;
    if (error.kind == ErrorKind::context_overflow) {
        instance = cls(message, error.n_tokens, error.limit);
    } else if (error.kind == ErrorKind::input_too_long) {
        instance = cls(message, error.index, error.n_tokens, error.limit);
    } else {
        instance = cls(message);
    }
    if (error.template_reason) {
        instance.attr("template_reason") = to_python_text(error.template_reason->c_str());
    }
    PyErr_SetObject(cls.ptr(), instance.ptr());
}

} // namespace

// Nothing but our errors leaves the module, except Python's own.
void bind_errors(nb::module_&) {
    nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
        try {
            std::rethrow_exception(pointer);
        } catch (const Error& error) {
            raise(error);
        } catch (const AssertionFailed& error) {
            raise(Error(ErrorKind::engine_failed, std::string("llama.cpp failed: ") + error.what()));
        } catch (const std::bad_alloc&) {
            raise(Error(ErrorKind::insufficient_memory, "there is not enough memory for this"));
        } catch (const std::exception& error) {
            raise(Error(ErrorKind::engine_failed, std::string("this failed unexpectedly: ") + error.what()));
        }
    });
}

} // namespace xlc
