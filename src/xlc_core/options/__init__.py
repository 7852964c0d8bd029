"""Options: a frozen, checked model for each kind of call."""

from xlc_core.options.engine import EngineOptions
from xlc_core.options.lora import ControlVector, Lora
from xlc_core.options.retrieval import EmbedOptions, EmbedStreamOptions, RerankOptions, TokenEmbedOptions
from xlc_core.options.sampling import ChatOptions, CompletionOptions, SamplingOptions
from xlc_core.options.speculation import DFlash, DraftModel, DSpark, Eagle3, Mtp, Ngram, Speculation
from xlc_core.options.thinking_switch import ThinkingSwitch

__all__ = [
    "ChatOptions",
    "CompletionOptions",
    "ControlVector",
    "DFlash",
    "DSpark",
    "DraftModel",
    "Eagle3",
    "EmbedOptions",
    "EmbedStreamOptions",
    "EngineOptions",
    "Lora",
    "Mtp",
    "Ngram",
    "RerankOptions",
    "SamplingOptions",
    "Speculation",
    "ThinkingSwitch",
    "TokenEmbedOptions",
]
