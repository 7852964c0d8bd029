"""All errors of xllama, as one tree of exceptions.

    XllamaError
      ModelNotFoundError, ModelLoadError, InsufficientMemoryError
      InvalidRequestError (also a ValueError)
        ContextOverflowError, ConstraintError, UnsupportedFeatureError, InputTooLongError
      EngineClosedError, RequestCancelledError, EngineFailedError
      RequestTimeoutError (also a TimeoutError)

Every message names the problem, with the value, and a remedy.
"""

from __future__ import annotations

__all__ = [
    "ConstraintError",
    "ContextOverflowError",
    "EngineClosedError",
    "EngineFailedError",
    "InputTooLongError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "ModelLoadError",
    "ModelNotFoundError",
    "RequestCancelledError",
    "RequestTimeoutError",
    "UnsupportedFeatureError",
    "XllamaError",
]


class XllamaError(Exception):
    """Base of every error that xllama raises on purpose."""


class ModelNotFoundError(XllamaError):
    """The named model is neither a file, nor in the catalog, nor on the hub; or it could not be fetched."""


class ModelLoadError(XllamaError):
    """The model file exists but llama.cpp could not load it; the message carries llama.cpp's reason."""


class InsufficientMemoryError(XllamaError):
    """The model and its context do not fit into the free memory."""


class InvalidRequestError(XllamaError, ValueError):
    """A request or option has a value that cannot be honoured. Nothing was run.

    Attributes:
        message_index: position of the message to blame in the chat; None where the error is not about one message.
        template_reason: the chat template's own words, where it refused the messages; else None.
    """

    message_index: int | None = None
    template_reason: str | None = None


class ContextOverflowError(InvalidRequestError):
    """The prompt leaves no room for an answer in the context.

    Attributes:
        n_prompt_tokens: tokens in the prompt.
        n_ctx: tokens that one request may hold, prompt and answer together.
    """

    def __init__(self, message: str, n_prompt_tokens: int, n_ctx: int) -> None:
        super().__init__(message)
        self.n_prompt_tokens = n_prompt_tokens
        self.n_ctx = n_ctx

    def __reduce__(self) -> tuple[type[ContextOverflowError], tuple[str, int, int]]:
        return type(self), (str(self), self.n_prompt_tokens, self.n_ctx)


class ConstraintError(InvalidRequestError):
    """A JSON schema, regular expression or grammar is malformed or asks for something unsupported."""


class UnsupportedFeatureError(InvalidRequestError):
    """The model does not have the requested feature, such as reranking without a ranking head."""


class InputTooLongError(InvalidRequestError):
    """A text to embed or rerank is longer than the model can read.

    Attributes:
        index: position of the text in the caller's list; -1 for a query.
        n_tokens: tokens in the text.
        limit: tokens that the model can read at once.
    """

    def __init__(self, message: str, index: int, n_tokens: int, limit: int) -> None:
        super().__init__(message)
        self.index = index
        self.n_tokens = n_tokens
        self.limit = limit

    def __reduce__(self) -> tuple[type[InputTooLongError], tuple[str, int, int, int]]:
        return type(self), (str(self), self.index, self.n_tokens, self.limit)


class EngineClosedError(XllamaError):
    """The engine was closed before or during the request."""


class EngineFailedError(XllamaError):
    """llama.cpp failed while it ran; other requests may have failed too."""


class RequestCancelledError(XllamaError):
    """The request was cancelled before it had an answer."""


class RequestTimeoutError(XllamaError, TimeoutError):
    """The request's ``timeout`` passed before it was done; its slot is free again."""
