"""Errors in OpenAI's form: one table from our classes to a status and a code."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

import xlc_core as xlc

__all__ = ["ApiError", "error_body", "not_supported", "server_ends", "to_api_error", "unknown_field"]

_REQUEST, _SERVER = "invalid_request_error", "server_error"

_TABLE: tuple[tuple[type[xlc.XllamaError], int, str, str | None], ...] = (
    (xlc.ContextOverflowError, 400, _REQUEST, "context_length_exceeded"),
    (xlc.InputTooLongError, 400, _REQUEST, "context_length_exceeded"),
    (xlc.ConstraintError, 400, _REQUEST, "invalid_schema"),
    (xlc.UnsupportedFeatureError, 422, _REQUEST, "unsupported_feature"),
    (xlc.InvalidRequestError, 400, _REQUEST, None),
    (xlc.ModelNotFoundError, 404, _REQUEST, "model_not_found"),
    (xlc.RequestTimeoutError, 408, _SERVER, "timeout"),
    (xlc.InsufficientMemoryError, 503, _SERVER, "insufficient_memory"),
    (xlc.EngineClosedError, 503, _SERVER, "model_closed"),
    (xlc.RequestCancelledError, 503, _SERVER, "cancelled"),
    (xlc.ModelLoadError, 500, _SERVER, "model_not_loaded"),
    (xlc.EngineFailedError, 500, _SERVER, "engine_failed"),
    (xlc.XllamaError, 500, _SERVER, None),
)
"""The first class that an error is an instance of decides."""

_RETRY_AFTER = {429: "1", 503: "5"}
"""Seconds after which a client may try again, by status."""

_FINAL = (408, 501)
"""Statuses after which the clients of OpenAI and Anthropic would try again, in vain."""

_OPTION = re.compile(r"([a-z_]+)(?:\[.*?\])*: ")
"""The option with which a message begins, if it is about one."""

_logger = logging.getLogger("xllama.server")


class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        status: the status of HTTP.
        message: what was wrong, and what to do.
        kind: OpenAI's type of the error.
        code: a short name for programs; None without one.
        param: the field of the request that is to blame.
    """

    def __init__(
        self, status: int, message: str, *, kind: str = _REQUEST, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer beside its type."""
        if self.status in _RETRY_AFTER:
            return {"retry-after": _RETRY_AFTER[self.status]}
        if self.status in _FINAL:
            return {"x-should-retry": "false"}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}


def to_api_error(error: BaseException) -> ApiError:
    """Return the answer for an error. One that nobody expected is logged, and not shown to the client."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError):
        return _of_body(error)
    for cls, status, kind, code in _TABLE:
        if isinstance(error, cls):
            named = _OPTION.match(str(error)) if status == 400 else None
            return ApiError(status, _message(error), kind=kind, code=code, param=named and named[1])
    _logger.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed; its log has the reason", kind=_SERVER, code="internal_error")


def _message(error: xlc.XllamaError) -> str:
    """Return an error's message; that of a long prompt in the words by which clients know it, to shorten a chat."""
    if not isinstance(error, xlc.ContextOverflowError):
        return str(error)
    known = f"prompt is too long: {error.n_prompt_tokens} tokens > {error.n_ctx} maximum"
    return f"{known}. This model's maximum context length is {error.n_ctx} tokens, with the answer; shorten the prompt"


def error_body(error: ApiError) -> Mapping[str, Any]:
    """Return the body of an answer that is an error."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def server_ends() -> ApiError:
    """Return the error for a request that is cut off because the server ends."""
    return ApiError(503, "the server ends, and with it this request", kind=_SERVER, code="cancelled")


def not_supported(message: str) -> ApiError:
    """Return the error for something that this server does not do, or not as it was started."""
    return ApiError(501, message, kind="not_supported_error", code="not_supported")


def unknown_field(name: str) -> ApiError:
    """Return the error for a field of a request that this server does not have."""
    message = f"unknown field {name!r:.100}; docs/server.md lists those that are accepted"
    return ApiError(400, message, code="unknown_field", param=name[:100])


def _of_body(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_field(place)
    reason = first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{place}: {reason}" if place else reason, param=place or None)
