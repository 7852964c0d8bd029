"""xllama's errors for LangChain: each also derives from langchain_core's ModelError.

Code that catches either keeps working: middleware that retries on LangChain's
``ContextOverflowError`` and a caller that reads ``n_prompt_tokens`` off xllama's see the same
object. An error without a counterpart in LangChain derives from plain ``ModelError``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from langchain_core import exceptions as langchain

import xlc_core as core
from xlc_core.frameworks import find_counterpart

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ConstraintError",
    "ContextOverflowError",
    "EngineClosedError",
    "EngineFailedError",
    "InputTooLongError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "LangChainErrors",
    "ModelLoadError",
    "ModelNotFoundError",
    "RequestCancelledError",
    "RequestTimeoutError",
    "UnsupportedFeatureError",
    "XllamaError",
    "langchain_errors",
]


class XllamaError(core.XllamaError, langchain.ModelError):
    """The base of xllama's errors."""


class ModelNotFoundError(core.ModelNotFoundError, langchain.ModelNotFoundError):
    """The model is neither a file, nor in the catalog, nor on the hub."""


class ModelLoadError(core.ModelLoadError, langchain.ModelError):
    """llama.cpp could not load the model file."""


class InsufficientMemoryError(core.InsufficientMemoryError, langchain.ModelError):
    """The model and its context do not fit into the free memory."""


class InvalidRequestError(core.InvalidRequestError, langchain.ModelInvalidRequestError):
    """A message, tool or option cannot be honoured. Nothing was run."""


class ContextOverflowError(core.ContextOverflowError, langchain.ContextOverflowError):
    """The prompt leaves no room for an answer; see ``n_prompt_tokens`` and ``n_ctx``."""


class ConstraintError(core.ConstraintError, langchain.ModelInvalidRequestError):
    """A schema or grammar is malformed or asks for something unsupported."""


class UnsupportedFeatureError(core.UnsupportedFeatureError, langchain.ModelInvalidRequestError):
    """The model cannot do what was asked."""


class InputTooLongError(core.InputTooLongError, langchain.ModelInvalidRequestError):
    """A text to embed or rerank is longer than the model takes; ``index`` says which one."""


class EngineClosedError(core.EngineClosedError, langchain.ModelError):
    """The engine was closed before or during the request."""


class EngineFailedError(core.EngineFailedError, langchain.ModelAPIError):
    """llama.cpp failed while running; LangChain may retry."""


class RequestCancelledError(core.RequestCancelledError, langchain.ModelError):
    """The request was cancelled before it had an answer."""


class RequestTimeoutError(core.RequestTimeoutError, langchain.ModelTimeoutError):
    """The request's ``timeout`` passed before it was done."""


_COUNTERPARTS: dict[type[core.XllamaError], type[core.XllamaError]] = {
    core.XllamaError: XllamaError,
    core.ModelNotFoundError: ModelNotFoundError,
    core.ModelLoadError: ModelLoadError,
    core.InsufficientMemoryError: InsufficientMemoryError,
    core.InvalidRequestError: InvalidRequestError,
    core.ContextOverflowError: ContextOverflowError,
    core.ConstraintError: ConstraintError,
    core.UnsupportedFeatureError: UnsupportedFeatureError,
    core.InputTooLongError: InputTooLongError,
    core.EngineClosedError: EngineClosedError,
    core.EngineFailedError: EngineFailedError,
    core.RequestCancelledError: RequestCancelledError,
    core.RequestTimeoutError: RequestTimeoutError,
}


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Turn xllama errors that are raised inside into their LangChain counterparts."""
    try:
        yield
    except langchain.ModelError:
        raise
    except core.XllamaError as error:
        kind = find_counterpart(error, _COUNTERPARTS)
        # The arguments with which pickle would rebuild the error, so that the fields of its class are kept.
        arguments = error.__reduce__()[1]
        raise kind(*arguments).with_traceback(error.__traceback__) from error.__cause__


class LangChainErrors:
    """Mixin of the adapters: opening the engine raises LangChain's errors. It comes before the core's adapter."""

    def _framework_errors(self) -> AbstractContextManager[None]:
        return langchain_errors()
