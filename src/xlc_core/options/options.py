"""The options of engines and requests under their former path."""

from __future__ import annotations

from xlc_core.options.engine import CacheType, EngineOptions, Pooling
from xlc_core.options.retrieval import Truncate
from xlc_core.options.sampling import ChatOptions, CompletionOptions, SamplerName, SamplingOptions
from xlc_core.options.thinking_switch import ReasoningFormat

__all__ = [
    "CacheType",
    "ChatOptions",
    "CompletionOptions",
    "EngineOptions",
    "Pooling",
    "ReasoningFormat",
    "SamplerName",
    "SamplingOptions",
    "Truncate",
]
