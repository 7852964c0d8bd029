"""llama.cpp inside the Python process: chat, completion, embeddings and reranking for any number of callers.

Examples:
    >>> import xlc_core as xlc
    >>> with xlc.Engine("smollm2-135m-instruct") as engine:
    ...     print(engine.chat("Why is the sky blue?", max_tokens=64).text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlc_core._native import Explanation, llama_cpp_version
    from xlc_core.constraints.constraint import Constraint
    from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
    from xlc_core.constraints.text_constraints import Choice, Gbnf, Lark, Regex
    from xlc_core.constraints.tool_types import ToolSource
    from xlc_core.engine.engine import Engine
    from xlc_core.engine.infill import InfillFiles
    from xlc_core.engine.memory import DeviceMemory, EngineMemory, MemoryEstimate
    from xlc_core.engine.opening import LoadProgress
    from xlc_core.engine.pool import EnginePool, PoolLease
    from xlc_core.engine.pool_models import OtherModels, PoolNames
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
    from xlc_core.generation.conversion import ToolLike
    from xlc_core.generation.message_reading import MessageLike
    from xlc_core.generation.partial_objects import apartial_objects, partial_objects
    from xlc_core.generation.streams import AsyncEventStream, EventStream
    from xlc_core.messages import (
        AudioPart,
        ImagePart,
        MediaPart,
        Message,
        Part,
        Role,
        TextPart,
        Tool,
        ToolCall,
        VideoPart,
    )
    from xlc_core.models.convert import convert_model
    from xlc_core.models.local import local_models
    from xlc_core.models.quantize import quantize_model
    from xlc_core.options.base import GpuLayers, Seconds
    from xlc_core.options.embedding_types import EmbeddingType, hamming_distances, quantize_embeddings
    from xlc_core.options.engine import CacheType, EngineOptions, Pooling
    from xlc_core.options.kwargs import (
        ChatKwargs,
        CompletionKwargs,
        EmbedKwargs,
        EmbedStreamKwargs,
        EngineKwargs,
        RerankKwargs,
        SamplingKwargs,
        TokenEmbedKwargs,
    )
    from xlc_core.options.lora import ControlVector, Lora
    from xlc_core.options.media_hosts import RemoteMedia
    from xlc_core.options.retrieval import (
        EmbedOptions,
        EmbedStreamOptions,
        Progress,
        RerankOptions,
        RerankScale,
        RerankTruncate,
        TokenEmbedOptions,
        Truncate,
    )
    from xlc_core.options.sampling import ChatOptions, CompletionOptions, SamplerName, SamplingOptions
    from xlc_core.options.speculation import DFlash, DraftModel, DSpark, Eagle3, Mtp, Ngram, Speculation
    from xlc_core.options.thinking_switch import ReasoningFormat, ThinkingSwitch
    from xlc_core.reranking.rerank import RerankMethod, arerank_documents, rerank_documents
    from xlc_core.results import (
        Completion,
        CompletionChoice,
        Decision,
        DecisionAnswer,
        EngineMetrics,
        FinishReason,
        ModelInfo,
        RerankScore,
        Timings,
        TokenLogprob,
        Usage,
    )
    from xlc_core.retrieval.splitting import TextRoom
    from xlc_core.retrieval.streams import AsyncEmbeddingStream, EmbeddingStream

__version__ = "0.1.0"

__all__ = [
    "AsyncEmbeddingStream",
    "AsyncEventStream",
    "AudioPart",
    "CacheType",
    "ChatKwargs",
    "ChatOptions",
    "Choice",
    "Completion",
    "CompletionChoice",
    "CompletionKwargs",
    "CompletionOptions",
    "Constraint",
    "ConstraintError",
    "ContextOverflowError",
    "ControlVector",
    "DFlash",
    "DSpark",
    "Decision",
    "DecisionAnswer",
    "DeviceMemory",
    "DraftModel",
    "Eagle3",
    "EmbedKwargs",
    "EmbedOptions",
    "EmbedStreamKwargs",
    "EmbedStreamOptions",
    "EmbeddingStream",
    "EmbeddingType",
    "Engine",
    "EngineClosedError",
    "EngineFailedError",
    "EngineKwargs",
    "EngineLease",
    "EngineMemory",
    "EngineMetrics",
    "EngineOptions",
    "EnginePool",
    "Event",
    "EventStream",
    "Explanation",
    "FinishReason",
    "Finished",
    "Gbnf",
    "GpuLayers",
    "ImagePart",
    "InfillFiles",
    "InputTooLongError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "JsonObject",
    "JsonSchema",
    "Lark",
    "LoadProgress",
    "Lora",
    "MediaPart",
    "MemoryEstimate",
    "Message",
    "MessageLike",
    "ModelInfo",
    "ModelLoadError",
    "ModelNotFoundError",
    "Mtp",
    "Ngram",
    "OtherModels",
    "Part",
    "PoolLease",
    "PoolNames",
    "Pooling",
    "Progress",
    "PromptProgress",
    "ReasoningDelta",
    "ReasoningFormat",
    "Regex",
    "RemoteMedia",
    "RequestCancelledError",
    "RequestTimeoutError",
    "RerankKwargs",
    "RerankMethod",
    "RerankOptions",
    "RerankScale",
    "RerankScore",
    "RerankTruncate",
    "Role",
    "SamplerName",
    "SamplingKwargs",
    "SamplingOptions",
    "Seconds",
    "SessionInfo",
    "Speculation",
    "TextDelta",
    "TextPart",
    "TextRoom",
    "ThinkingSwitch",
    "Timings",
    "TokenEmbedKwargs",
    "TokenEmbedOptions",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolLike",
    "ToolSource",
    "Truncate",
    "UnsupportedFeatureError",
    "Usage",
    "VideoPart",
    "XllamaError",
    "acquire_engine",
    "apartial_objects",
    "arerank_documents",
    "convert_model",
    "hamming_distances",
    "llama_cpp_version",
    "local_models",
    "partial_objects",
    "quantize_embeddings",
    "quantize_model",
    "rerank_documents",
]

# Each name is imported when it is first used, so that ``import xlc_core`` and ``xllama --help`` do not load llama.cpp.
_NAMES_BY_MODULE = {
    "_native": "Explanation llama_cpp_version",
    "constraints.constraint": "Constraint",
    "constraints.json_constraints": "JsonObject JsonSchema",
    "constraints.text_constraints": "Choice Gbnf Lark Regex",
    "constraints.tool_types": "ToolSource",
    "engine.engine": "Engine",
    "engine.infill": "InfillFiles",
    "engine.memory": "DeviceMemory EngineMemory MemoryEstimate",
    "engine.opening": "LoadProgress",
    "engine.pool": "EnginePool PoolLease",
    "engine.pool_models": "OtherModels PoolNames",
    "engine.sessions": "SessionInfo",
    "engine.shared": "EngineLease acquire_engine",
    "errors": (
        "ConstraintError ContextOverflowError EngineClosedError EngineFailedError InputTooLongError "
        "InsufficientMemoryError InvalidRequestError ModelLoadError ModelNotFoundError RequestCancelledError "
        "RequestTimeoutError UnsupportedFeatureError XllamaError"
    ),
    "events": "Event Finished PromptProgress ReasoningDelta TextDelta ToolCallDelta",
    "generation.conversion": "ToolLike",
    "generation.message_reading": "MessageLike",
    "generation.partial_objects": "apartial_objects partial_objects",
    "generation.streams": "AsyncEventStream EventStream",
    "messages": "AudioPart ImagePart MediaPart Message Part Role TextPart Tool ToolCall VideoPart",
    "models.convert": "convert_model",
    "models.local": "local_models",
    "models.quantize": "quantize_model",
    "options.base": "GpuLayers Seconds",
    "options.embedding_types": "EmbeddingType hamming_distances quantize_embeddings",
    "options.engine": "CacheType EngineOptions Pooling",
    "options.kwargs": (
        "ChatKwargs CompletionKwargs EmbedKwargs EmbedStreamKwargs EngineKwargs RerankKwargs SamplingKwargs "
        "TokenEmbedKwargs"
    ),
    "options.lora": "ControlVector Lora",
    "options.media_hosts": "RemoteMedia",
    "options.retrieval": (
        "EmbedOptions EmbedStreamOptions Progress RerankOptions RerankScale RerankTruncate TokenEmbedOptions Truncate"
    ),
    "options.sampling": "ChatOptions CompletionOptions SamplerName SamplingOptions",
    "options.speculation": "DFlash DraftModel DSpark Eagle3 Mtp Ngram Speculation",
    "options.thinking_switch": "ReasoningFormat ThinkingSwitch",
    "reranking.rerank": "RerankMethod arerank_documents rerank_documents",
    "results": (
        "Completion CompletionChoice Decision DecisionAnswer EngineMetrics FinishReason ModelInfo RerankScore Timings "
        "TokenLogprob Usage"
    ),
    "retrieval.splitting": "TextRoom",
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
