#include "bindings/bindings.h"
#include "bindings/gil.h"

#include "support/abort_guard.h"
#include "support/backends.h"
#include "support/logging.h"

NB_MODULE(_native, m) {
    m.doc() = "llama.cpp in this process: requests in, events and float32 arrays out. Private; use xlc_core.";
    xlc::install_abort_handler();
    xlc::redirect_llama_logs();
    xlc::load_backends();
    xlc::bind_gil(m);
    xlc::bind_errors(m);
    xlc::bind_logging(m);
    xlc::bind_model_file(m);
    xlc::bind_requests(m);
    xlc::bind_events(m);
    xlc::bind_generation(m);
    xlc::bind_retrieval(m);
    xlc::bind_constraints(m);
    xlc::bind_session(m);
    xlc::bind_memory(m);
    xlc::bind_engine(m);
    xlc::bind_hardware(m);
    xlc::bind_quantize(m);
    xlc::bind_testing(m);
    m.def(
        "expect_leaks", [] { nanobind::set_leak_warnings(false); },
        "Do not report leaks at exit: a forked child holds objects of threads that do not exist in it.");
}
