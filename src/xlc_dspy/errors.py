"""xllama's errors as those that DSPy's engines raise; DSPy turns them into its own, such as LMTimeoutError."""

from __future__ import annotations

from contextlib import AbstractContextManager

from dspy import lm15

import xlc_core as xlc
from xlc_core.frameworks import find_counterpart, raise_as

__all__ = ["PROVIDER", "DspyErrors", "dspy_errors"]

PROVIDER = "xllama"
"""Names this package in errors and in the names of models."""

_COUNTERPARTS: dict[type[xlc.XllamaError], type[lm15.LM15Error]] = {
    xlc.ContextOverflowError: lm15.ContextLengthError,
    xlc.UnsupportedFeatureError: lm15.UnsupportedFeatureError,
    xlc.InvalidRequestError: lm15.InvalidRequestError,
    xlc.RequestTimeoutError: lm15.TimeoutError,
    xlc.EngineFailedError: lm15.ServerError,
    xlc.ModelNotFoundError: lm15.UnsupportedModelError,
    xlc.ModelLoadError: lm15.ConfigurationError,
    xlc.InsufficientMemoryError: lm15.ConfigurationError,
    xlc.EngineClosedError: lm15.ConfigurationError,
    xlc.XllamaError: lm15.ProviderError,
}
"""DSPy retries timeouts and failures of the server, and no others."""


def dspy_errors() -> AbstractContextManager[None]:
    """Turn xllama errors that are raised inside into their lm15 counterparts; the original is the ``__cause__``."""
    return raise_as(_counterpart)


def _counterpart(error: xlc.XllamaError) -> lm15.LM15Error:
    return find_counterpart(error, _COUNTERPARTS)(str(error), provider=PROVIDER)


class DspyErrors:
    """Mixin of the adapters: opening the engine raises DSPy's errors. It comes before the core's adapter."""

    def _framework_errors(self) -> AbstractContextManager[None]:
        return dspy_errors()
