"""How APIs write events and errors: OpenAI's first one, its Responses API, Anthropic's, and llama-server's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xlc_server.errors import ApiError, error_body

__all__ = ["ANTHROPIC", "LLAMA_SERVER", "OPENAI", "RESPONSES", "Dialect", "dialect_of"]

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Anthropic's types of errors, by status; others are of the request below 500, and of the API from there on."""


@dataclass(frozen=True)
class Dialect:
    """The form of an API.

    Attributes:
        names_events: whether each event of a stream has a line with its name, which is its ``type``.
        end: bytes at the end of a stream.
        error: the body of an answer that is an error.
        error_event: the event for an error in a stream.
    """

    names_events: bool
    end: bytes
    error: Callable[[ApiError], Mapping[str, Any]]
    error_event: Callable[[ApiError], Mapping[str, Any]]


def _responses_event(error: ApiError) -> Mapping[str, Any]:
    return {"type": "error", "code": error.code, "message": error.message, "param": error.param, "sequence_number": 0}


def _anthropic_error(error: ApiError) -> Mapping[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "api_error"
    return {
        "type": "error",
        "error": {"type": _ANTHROPIC_TYPES.get(error.status, kind), "message": error.message},
    }


OPENAI = Dialect(names_events=False, end=b"data: [DONE]\n\n", error=error_body, error_event=error_body)
RESPONSES = Dialect(names_events=True, end=b"", error=error_body, error_event=_responses_event)
ANTHROPIC = Dialect(names_events=True, end=b"", error=_anthropic_error, error_event=_anthropic_error)
LLAMA_SERVER = Dialect(names_events=False, end=b"", error=error_body, error_event=error_body)


def dialect_of(path: str) -> Dialect:
    """Return the form of errors of a path, also where no endpoint answers: without a key, or to a wrong method."""
    return ANTHROPIC if path == "/v1/messages" or path.startswith("/v1/messages/") else OPENAI
