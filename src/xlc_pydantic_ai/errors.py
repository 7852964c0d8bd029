"""Our errors as Pydantic AI's, on which its fallbacks and retries decide."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pydantic_ai import exceptions

import xlc_core as xlc
from xlc_core.frameworks import find_counterpart, raise_as

__all__ = ["model_errors"]

_COUNTERPARTS: dict[type[xlc.XllamaError], Any] = {
    xlc.ModelNotFoundError: exceptions.ModelNotFoundError,
    xlc.ModelLoadError: exceptions.ModelUnavailableError,
    xlc.InsufficientMemoryError: exceptions.ModelUnavailableError,
    xlc.ContextOverflowError: exceptions.ModelContextWindowExceededError,
    xlc.InputTooLongError: exceptions.ModelContextWindowExceededError,
    xlc.InvalidRequestError: exceptions.ModelRequestRejectedError,
    xlc.RequestTimeoutError: exceptions.ModelTimeoutError,
    xlc.XllamaError: exceptions.ModelAPIError,
}


def model_errors(model_name: str) -> AbstractContextManager[None]:
    """Return a context that raises Pydantic AI's errors instead of ours, which stay their cause."""
    return raise_as(lambda error: find_counterpart(error, _COUNTERPARTS)(model_name, str(error)))
