"""llama.cpp inside the Python process: chat, completion, embeddings and reranking for any number of callers.

import xlc_core as xlc

with xlc.Engine("smollm2-135m-instruct") as engine:
print(engine.chat("Why is the sky blue?", max_tokens=64).text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlc_core.constraints.constraint import Choice, Constraint, Gbnf, JsonObject, JsonSchema, Lark, Regex
    from xlc_core.engine.engine import Engine
    from xlc_core.engine.memory import DeviceMemory, EngineMemory, MemoryEstimate
    from xlc_core.engine.sessions import SessionInfo
    from xlc_core.engine.shared import EngineLease, acquire_engine
    from xlc_core.errors import (
        ConstraintError,
        ContextOverflowError,
        EngineClosedError,
        EngineFailedError,
        InputTooLongError,
        InsufficientMemoryError,
        InvalidRequestError,
        ModelLoadError,
        ModelNotFoundError,
        RequestCancelledError,
        RequestTimeoutError,
        UnsupportedFeatureError,
        XllamaError,
    )
    from xlc_core.events import Event, Finished, PromptProgress, ReasoningDelta, TextDelta, ToolCallDelta
    from xlc_core.generation.partial_objects import apartial_objects, partial_objects
    from xlc_core.generation.streams import AsyncEventStream, EventStream
    from xlc_core.messages import AudioPart, ImagePart, Message, TextPart, Tool, ToolCall, VideoPart
    from xlc_core.models.convert import convert_model
    from xlc_core.models.quantize import quantize_model
    from xlc_core.options.embedding_types import hamming_distances, quantize_embeddings
    from xlc_core.options.lora import ControlVector, Lora
    from xlc_core.options.options import ChatOptions, CompletionOptions, EngineOptions, SamplingOptions
    from xlc_core.options.retrieval import EmbedOptions, EmbedStreamOptions, RerankOptions, TokenEmbedOptions
    from xlc_core.options.speculation import DFlash, DraftModel, DSpark, Eagle3, Mtp, Ngram, Speculation
    from xlc_core.options.thinking_switch import ThinkingSwitch
    from xlc_core.results import (
        Completion,
        CompletionChoice,
        EngineMetrics,
        ModelInfo,
        RerankScore,
        Timings,
        TokenLogprob,
        Usage,
    )
    from xlc_core.retrieval.streams import AsyncEmbeddingStream, EmbeddingStream

__version__ = "0.1.0"

__all__ = [
    "AsyncEmbeddingStream",
    "AsyncEventStream",
    "AudioPart",
    "ChatOptions",
    "Choice",
    "Completion",
    "CompletionChoice",
    "CompletionOptions",
    "Constraint",
    "ConstraintError",
    "ContextOverflowError",
    "ControlVector",
    "DFlash",
    "DSpark",
    "DeviceMemory",
    "DraftModel",
    "Eagle3",
    "EmbedOptions",
    "EmbedStreamOptions",
    "EmbeddingStream",
    "Engine",
    "EngineClosedError",
    "EngineFailedError",
    "EngineLease",
    "EngineMemory",
    "EngineMetrics",
    "EngineOptions",
    "Event",
    "EventStream",
    "Finished",
    "Gbnf",
    "ImagePart",
    "InputTooLongError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "JsonObject",
    "JsonSchema",
    "Lark",
    "Lora",
    "MemoryEstimate",
    "Message",
    "ModelInfo",
    "ModelLoadError",
    "ModelNotFoundError",
    "Mtp",
    "Ngram",
    "PromptProgress",
    "ReasoningDelta",
    "Regex",
    "RequestCancelledError",
    "RequestTimeoutError",
    "RerankOptions",
    "RerankScore",
    "SamplingOptions",
    "SessionInfo",
    "Speculation",
    "TextDelta",
    "TextPart",
    "ThinkingSwitch",
    "Timings",
    "TokenEmbedOptions",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "UnsupportedFeatureError",
    "Usage",
    "VideoPart",
    "XllamaError",
    "acquire_engine",
    "apartial_objects",
    "convert_model",
    "hamming_distances",
    "partial_objects",
    "quantize_embeddings",
    "quantize_model",
]

# Each name is imported when it is first used, so that ``import xlc_core`` and ``xllama --help`` do not load llama.cpp.
_NAMES_BY_MODULE = {
    "constraints.constraint": "Choice Constraint Gbnf JsonObject JsonSchema Lark Regex",
    "engine.engine": "Engine",
    "engine.memory": "DeviceMemory EngineMemory MemoryEstimate",
    "engine.sessions": "SessionInfo",
    "engine.shared": "EngineLease acquire_engine",
    "errors": (
        "ConstraintError ContextOverflowError EngineClosedError EngineFailedError InputTooLongError "
        "InsufficientMemoryError InvalidRequestError ModelLoadError ModelNotFoundError RequestCancelledError "
        "RequestTimeoutError UnsupportedFeatureError XllamaError"
    ),
    "events": "Event Finished PromptProgress ReasoningDelta TextDelta ToolCallDelta",
    "generation.partial_objects": "apartial_objects partial_objects",
    "generation.streams": "AsyncEventStream EventStream",
    "messages": "AudioPart ImagePart Message TextPart Tool ToolCall VideoPart",
    "models.convert": "convert_model",
    "models.quantize": "quantize_model",
    "options.embedding_types": "hamming_distances quantize_embeddings",
    "options.lora": "ControlVector Lora",
    "options.options": "ChatOptions CompletionOptions EngineOptions SamplingOptions",
    "options.retrieval": "EmbedOptions EmbedStreamOptions RerankOptions TokenEmbedOptions",
    "options.speculation": "DFlash DraftModel DSpark Eagle3 Mtp Ngram Speculation",
    "options.thinking_switch": "ThinkingSwitch",
    "results": "Completion CompletionChoice EngineMetrics ModelInfo RerankScore Timings TokenLogprob Usage",
    "retrieval.streams": "AsyncEmbeddingStream EmbeddingStream",
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
