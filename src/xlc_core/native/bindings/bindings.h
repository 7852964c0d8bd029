// The functions that module.cpp calls: one per concept, each in its own bind_*.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace xlc {

void bind_errors(nanobind::module_& m);
void bind_logging(nanobind::module_& m);
void bind_model_file(nanobind::module_& m);
void bind_requests(nanobind::module_& m);
void bind_events(nanobind::module_& m);
void bind_generation(nanobind::module_& m);
void bind_retrieval(nanobind::module_& m);
void bind_constraints(nanobind::module_& m);
void bind_session(nanobind::module_& m);
void bind_memory(nanobind::module_& m);
void bind_engine(nanobind::module_& m);
void bind_hardware(nanobind::module_& m);
void bind_quantize(nanobind::module_& m);
void bind_testing(nanobind::module_& m);

} // namespace xlc
