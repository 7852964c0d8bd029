"""Our errors as Pydantic AI's, on which its fallbacks and retries decide."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pydantic_ai import exceptions

import xlc_core as xlc
from xlc_core.frameworks import raise_as

__all__ = ["model_errors"]

_COUNTERPARTS = (
    (xlc.ModelNotFoundError, exceptions.ModelNotFoundError),
    (xlc.ModelLoadError, exceptions.ModelUnavailableError),
    (xlc.InsufficientMemoryError, exceptions.ModelUnavailableError),
    ((xlc.ContextOverflowError, xlc.InputTooLongError), exceptions.ModelContextWindowExceededError),
    (xlc.InvalidRequestError, exceptions.ModelRequestRejectedError),
    (xlc.RequestTimeoutError, exceptions.ModelTimeoutError),
    (xlc.XllamaError, exceptions.ModelAPIError),
)


def model_errors(model_name: str) -> AbstractContextManager[None]:
    """Return a context that raises Pydantic AI's errors instead of ours, which stay their cause."""

    def convert(error: xlc.XllamaError) -> Exception:
        made: Exception = next(theirs for ours, theirs in _COUNTERPARTS if isinstance(error, ours))(
            model_name, str(error)
        )
        return made

    return raise_as(convert)
