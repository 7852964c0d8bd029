// The errors that Python sees. Each kind is one class of xlc_core.errors; bind_errors.cpp translates.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace xlc {

enum class ErrorKind {
    model_not_found,
    model_load,
    insufficient_memory,
    invalid_request,
    context_overflow, // needs n_tokens and limit
    constraint,
    unsupported_feature,
    input_too_long, // needs index, n_tokens and limit
    engine_closed,
    request_cancelled,
    request_timeout,
    engine_failed,
};

struct Error : std::runtime_error {
    ErrorKind kind;
    int64_t index = -1;    // which input, for input_too_long
    int64_t n_tokens = -1; // how many tokens it has
    int64_t limit = -1;    // how many it may have
    // The chat template's own words, where it refused the messages. Shared, so that copying cannot throw.
    std::shared_ptr<const std::string> template_reason;

    Error(ErrorKind kind_, const std::string& message) : std::runtime_error(message), kind(kind_) {}

    static Error context_overflow(const std::string& message, int64_t n_prompt_tokens, int64_t n_ctx) {
        Error error(ErrorKind::context_overflow, message);
        error.n_tokens = n_prompt_tokens;
        error.limit = n_ctx;
        return error;
    }

    static Error template_refusal(const std::string& reason) {
        Error error(
            ErrorKind::invalid_request, "the model's chat template refused these messages: " + reason);
        error.template_reason = std::make_shared<const std::string>(reason);
        return error;
    }

    static Error input_too_long(const std::string& message, int64_t index, int64_t n_tokens, int64_t limit) {
        Error error(ErrorKind::input_too_long, message);
        error.index = index;
        error.n_tokens = n_tokens;
        error.limit = limit;
        return error;
    }
};

} // namespace xlc
