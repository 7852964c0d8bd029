"""The fields of the options as keyword arguments, for type checkers and editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from xlc_core.options.lora import ControlVector, Lora
from xlc_core.options.options import CacheType, Pooling, ReasoningFormat, SamplerName
from xlc_core.options.speculation import Speculation
from xlc_core.options.thinking_switch import ThinkingSwitch

__all__ = ["ChatKwargs", "CompletionKwargs", "EngineKwargs", "SamplingKwargs"]


class SamplingKwargs(TypedDict, total=False):
    """The fields of SamplingOptions as keyword arguments of ``chat``, ``complete`` and their streams."""

    max_tokens: int | None
    n: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    top_n_sigma: float | None
    xtc_probability: float | None
    xtc_threshold: float | None
    dynatemp_range: float | None
    dynatemp_exponent: float | None
    repeat_last_n: int | None
    repeat_penalty: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    dry_penalty_last_n: int | None
    dry_sequence_breakers: tuple[str, ...] | list[str] | None
    mirostat: Literal[0, 1, 2] | None
    mirostat_tau: float | None
    mirostat_eta: float | None
    adaptive_target: float | None
    adaptive_decay: float | None
    min_keep: int | None
    samplers: tuple[SamplerName, ...] | list[SamplerName] | None
    logit_bias: dict[int | str, Literal[False] | float] | None
    seed: int | None
    stop: str | tuple[str, ...] | list[str] | None
    ignore_eos: bool
    logprobs: int | None
    post_sampling_probs: bool
    cache_prompt: bool | None
    n_keep: int | None
    n_discard: int | None
    n_indent: int | None
    n_cache_reuse: int | None
    max_generation_ms: int | None


class CompletionKwargs(SamplingKwargs, total=False):
    """The fields of CompletionOptions as keyword arguments."""

    constraint: Any
    timeout: float | None
    prompt_progress: bool
    speculative: bool
    lora: Mapping[str, float] | None
    close_constraint: bool


class ChatKwargs(CompletionKwargs, total=False):
    """The fields of ChatOptions as keyword arguments."""

    tools: Sequence[Any]
    tool_choice: str
    parallel_tool_calls: bool | None
    thinking: bool | None
    thinking_budget: int | None
    thinking_budget_message: str | None
    thinking_switch: ThinkingSwitch | None
    reasoning_format: ReasoningFormat | None
    template_kwargs: Mapping[str, Any]


class EngineKwargs(TypedDict, total=False):
    """The fields of EngineOptions but ``model`` as keyword arguments of Engine."""

    n_ctx: int | None
    n_parallel: int
    n_batch: int
    n_ubatch: int
    n_batch_retrieval: int | None
    n_threads: int | None
    n_threads_batch: int | None
    n_gpu_layers: int | Literal["auto", "all"]
    main_gpu: int
    split_mode: Literal["none", "layer", "row"]
    tensor_split: tuple[float, ...] | list[float]
    flash_attn: Literal["auto", "on", "off"]
    encoder: Literal["auto", "llama.cpp"]
    cache_type_k: CacheType
    cache_type_v: CacheType
    kv_unified: bool
    use_mmap: bool
    use_mlock: bool
    pooling: Pooling | None
    chat_template: str | None
    thinking: bool | None
    thinking_budget: int | None
    thinking_budget_message: str
    reasoning_format: ReasoningFormat
    cache_ram_mib: int
    on_overflow: Literal["error", "shift"]
    speculation: Speculation | Sequence[Speculation]
    mmproj: str | Path | None
    allow_remote_media: bool
    lora: str | Path | Lora | Mapping[str, float] | Sequence[str | Path | Lora]
    control_vectors: str | Path | ControlVector | Mapping[str, float] | Sequence[str | Path | ControlVector]
    control_vector_layers: tuple[int, int] | None
    sleep_after: float | None
    warmup: bool
    llama_args: tuple[str, ...] | list[str]
