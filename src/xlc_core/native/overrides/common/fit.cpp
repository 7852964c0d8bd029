// llama.cpp's common/fit.cpp, which sets the log level while it measures a model: here for its thread alone.
// Two engines that were opened at the same time ended the process.

#include "support/logging.h"

#include "llama.h"

#define llama_log_get xlc::get_thread_logger
#define llama_log_set xlc::set_thread_logger
#include "common/fit.cpp"
