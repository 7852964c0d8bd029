"""Options of requests for text: how tokens are chosen, when to stop, tools, thinking."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, KeysView, Mapping, ValuesView
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from xlc_core.options.base import NativeOptions, Seconds
from xlc_core.options.thinking_switch import ReasoningFormat, ThinkingSwitch

__all__ = ["ChatOptions", "CompletionOptions", "SamplerName", "SamplingOptions"]

SamplerName = Literal[
    "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "infill",
    "adaptive_p",
]  # fmt: skip
"""llama.cpp's samplers, in the order in which they run by default; ``infill`` and ``adaptive_p`` run only if named."""


_MOST_LOOKED_BACK = 2**20  # tokens; llama.cpp allocates as much for each request, up to the context
_STRONGEST = 1e6  # penalty; sums of stronger ones over a context could become infinite
_STRONGEST_BIAS = 1e9


class SamplingOptions(NativeOptions):
    """How tokens are chosen and when to stop.

    None leaves a field at the value that the model's file recommends (``general.sampling.…``), else at llama.cpp's
    default, given in brackets. ``Engine.request_settings`` returns what a request gets. ``common/sampling.cpp`` and
    ``src/llama-sampler.cpp`` of llama.cpp have the formulas. Logarithms are natural.

    Attributes:
        max_tokens: tokens to generate at most; None: until the model stops or the context is full.
        n: answers to the same prompt; each needs a slot, so at most ``n_parallel``, and 256. The prompt is read once
            [1].
        temperature: divides the logits: randomness; 0 takes the likeliest token [0.8].
        top_k: keep the k likeliest tokens; 0 turns it off [40].
        top_p: keep the likeliest tokens that together reach this probability (nucleus: Holtzman and others 2020); 1
            turns it off [0.95].
        min_p: drop tokens less likely than this share of the likeliest (Nguyen and others 2024); 0 turns it off [0.05].
        typical_p: locally typical sampling (Meister and others 2022); 1 turns it off [1.0].
        top_n_sigma: keep tokens within n standard deviations of the best logit (Tang and others 2024); negative turns
            it off [-1].
        xtc_probability: chance of removing the likeliest tokens: all that reach ``xtc_threshold`` but the last of them;
            0 turns it off [0].
        xtc_threshold: least probability of a token that XTC removes; above 0.5 it never does [0.1].
        dynatemp_range: temperature varies with the entropy by this much, up and down; 0 turns it off [0].
        dynatemp_exponent: how entropy maps to temperature [1].
        repeat_last_n: tokens that penalties look back, those of the prompt included, at most 2²⁰; more than the context
            means all of it; 0 turns them off [64].
        repeat_penalty: divides the positive logits of repeated tokens, and multiplies the negative ones, from 10⁻⁶ to
            10⁶ (after Keskar and others 2019); 1 turns it off [1].
        frequency_penalty: subtracted from a token's logit for each earlier occurrence, from -10⁶ to 10⁶ [0].
        presence_penalty: subtracted once from the logit of a token that occurred, from -10⁶ to 10⁶ [0].
        dry_multiplier: strength of the DRY penalty on a token that would repeat a sequence of some length; it is
            ``dry_multiplier × dry_base^(length − dry_allowed_length)``, at most 10⁶; 0 turns it off [0].
        dry_base: base of its growth with length, at least 1 [1.75].
        dry_allowed_length: tokens of a repetition that are not yet penalised [2].
        dry_penalty_last_n: tokens that DRY looks back, as for ``repeat_last_n``; 0 turns it off [64].
        dry_sequence_breakers: strings that end a sequence [newline, colon, quote, star].
        mirostat: 1 or 2 for Mirostat (Basu and others 2021), which replaces the other samplers; 0 turns it off [0].
        mirostat_tau: target entropy, in bits [5].
        mirostat_eta: learning rate [0.1].
        adaptive_target: aim for tokens near this probability, at most 1, if ``samplers`` names ``adaptive_p``; negative
            turns it off [-1].
        adaptive_decay: memory of the adaptive sampler, 0 to 0.99 [0.9].
        min_keep: tokens that samplers must leave at least [0].
        samplers: which samplers run, in this order [the order of SamplerName].
        logit_bias: added to the logits of tokens, from -10⁹ to 10⁹; a key is a token's number, or a text, whose tokens
            all get the bias. False or minus infinity bans the tokens. None: no token has one.
        seed: makes sampling repeatable, from 0 to 2³² − 2; None chooses a random seed. Takes time: a seeded request
            reads its whole prompt again instead of reading its start from the cache, so that the same request alone on
            the engine gives the same text. ``cache_prompt=True`` changes that.
        stop: a text or several that end the answer; they are not part of it.
        ignore_eos: continue after the model's end token. Not with a constraint or tools, which end the answer [False].
        logprobs: return the natural logarithm of each token's probability, and of this many likeliest others, at most
            2²⁰; more than the vocabulary means all of it, which takes half a second for each token. None: none.
        post_sampling_probs: log-probabilities after the samplers instead of before them [False].
        cache_prompt: read the start of the prompt from the cache; None: unless ``seed`` is set.
        n_keep: tokens at the start of the prompt to keep when the context shifts (``on_overflow="shift"``); -1 keeps
            all of it [0].
        n_discard: tokens to drop when the context shifts; 0 drops half of those that are not kept [0].
        n_indent: end the answer before a line that fewer spaces or tabs begin, for code; 0 turns it off [0].
        n_cache_reuse: shortest run of tokens to reuse from another place in the cache; 0 turns it off [0].
        max_generation_ms: milliseconds since the first token after which the next new line ends the answer; None: no
            limit.
    """

    scope = "request"
    used_by: ClassVar[str] = "chat and complete"
    forms: ClassVar[Mapping[str, str]] = {
        "stop": "a text or a list of texts",
        "logit_bias": "a mapping of tokens, by number or text, to numbers, or to False to ban them",
    }

    max_tokens: int | None = Field(None, ge=0)
    n: int = Field(1, ge=1, le=256)
    temperature: float | None = Field(None, ge=0)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, ge=0, le=1)
    top_n_sigma: float | None = None
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1)
    dynatemp_range: float | None = Field(None, ge=0)
    dynatemp_exponent: float | None = None
    repeat_last_n: int | None = Field(None, ge=0, le=_MOST_LOOKED_BACK)
    repeat_penalty: float | None = Field(None, ge=1 / _STRONGEST, le=_STRONGEST)
    frequency_penalty: float | None = Field(None, ge=-_STRONGEST, le=_STRONGEST)
    presence_penalty: float | None = Field(None, ge=-_STRONGEST, le=_STRONGEST)
    dry_multiplier: float | None = Field(None, ge=0, le=_STRONGEST)
    dry_base: float | None = Field(None, ge=1)
    dry_allowed_length: int | None = Field(None, ge=0)
    dry_penalty_last_n: int | None = Field(None, ge=0, le=_MOST_LOOKED_BACK)
    dry_sequence_breakers: tuple[str, ...] | None = Field(None, min_length=1)
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: float | None = Field(None, ge=0)
    mirostat_eta: float | None = Field(None, ge=0)
    adaptive_target: float | None = Field(None, le=1)
    adaptive_decay: float | None = Field(None, ge=0, le=0.99)
    min_keep: int | None = Field(None, ge=0)
    samplers: tuple[SamplerName, ...] | None = None
    logit_bias: dict[int | str, Literal[False] | float] | None = None
    seed: int | None = Field(None, ge=0, le=0xFFFF_FFFE)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = Field(None, ge=0, le=2**20)
    post_sampling_probs: bool = False
    cache_prompt: bool | None = None
    n_keep: int | None = Field(None, ge=-1)
    n_discard: int | None = Field(None, ge=0)
    n_indent: int | None = Field(None, ge=0)
    n_cache_reuse: int | None = Field(None, ge=0)
    max_generation_ms: int | None = Field(None, ge=1)

    @field_validator("stop", mode="before")
    @classmethod
    def _wrap_single_stop(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _read_minus_infinity_as_ban(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {token: False if bias == -math.inf else bias for token, bias in value.items()}

    @field_validator("logit_bias")
    @classmethod
    def _refuse_infinite_sums(cls, value: dict[int | str, float] | None) -> dict[int | str, float] | None:
        for token, bias in (value or {}).items():
            if abs(bias) > _STRONGEST_BIAS:
                raise ValueError(f"the bias of {token!r} must be from -1e9 to 1e9, or False to ban it")
        return value

    @field_validator("stop")
    @classmethod
    def _refuse_empty_stop(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("a stop sequence must not be empty")
        return value


class CompletionOptions(SamplingOptions):
    """All options of a completion, without its prompt.

    Attributes:
        constraint: constrains the answer: a Constraint; an argument of JsonSchema, such as a pydantic model; a list of
            texts to choose from; or a compiled regular expression. None: any answer. Its first use compiles it, which
            takes milliseconds; an engine's first constraint also prepares the vocabulary, which takes some tenths of a
            second.
        timeout: seconds after which the request ends with RequestTimeoutError, the time that it waits for a slot
            included; at most 10⁹. None: no limit.
        prompt_progress: whether a stream reports how far the prompt has been read [False].
        speculative: whether tokens may be drafted, by ``speculation`` or because a constraint forces them [True].
        lora: scales of LoRA adapters by name, for this request; those not named, and all for None, keep the engine's.
        close_constraint: near the end of ``max_tokens`` or the context, complete the answer within its constraint (or
            its tool call) instead of cutting it off. It still has ``finish_reason="length"``, and can be parsed [True].
        parse_special: whether names of control tokens, such as ``<|im_start|>``, become these tokens where they stand
            in a prompt, or in the texts of a chat: its messages, tools and ``template_kwargs``. None: in a prompt yes,
            as it is written for the model; in a chat no, as its texts may come from anywhere.
    """

    constraint: Any = None
    timeout: Seconds | None = None
    prompt_progress: bool = False
    speculative: bool = True
    lora: dict[str, float] | None = None
    close_constraint: bool = True
    parse_special: bool | None = None

    @field_validator("constraint", mode="before")
    @classmethod
    def _list_choices(cls, value: Any) -> Any:
        """Make a list of an array, a column or a generator: it may be read several times."""
        if isinstance(value, (Iterator, ValuesView, KeysView, deque)):
            return list(value)
        is_column = not isinstance(value, type) and getattr(value, "ndim", None) == 1
        return list(value) if is_column or type(value).__name__ == "Series" else value


class ChatOptions(CompletionOptions):
    """All options of a chat, without its messages.

    Attributes:
        tools: functions that the model may call: Tool objects, functions, types, or dictionaries in OpenAI's form.
        tool_choice: ``auto``, ``none``, ``required``, or the name of the tool that must be called; also ``any`` and
            True for ``required``, None and False for ``auto``, and OpenAI's ``{"type": "function", …}`` ["auto"].
        parallel_tool_calls: whether several calls may be made at once; None: if the template supports it.
        thinking: whether the model may think first; None: the engine's setting.
        thinking_budget: tokens that the model may think, after which it must answer; 0: none. None: the engine's
            setting. No
            effect if the template does not support thinking.
        thinking_budget_message: text that is inserted when the budget, or ``stop_thinking`` of a stream, ends the
            thinking; None: the engine's setting.
        thinking_switch: ends the thinking from outside; None: only ``stop_thinking`` of a stream does.
        reasoning_format: place of the thinking, as in EngineOptions; None: the engine's setting.
        template_kwargs: variables for the chat template, as values that JSON can express.
        validation_retries: how often an answer is generated again if the constraint's type or a tool's does not take
            it, which a validator may decide; the model is told why. Each time takes as long as an answer. At most 16;
            not in streams and not with ``n`` above 1 [2].
    """

    used_by = "chat"

    tools: tuple[Any, ...] = ()
    tool_choice: str | bool | dict[str, Any] = "auto"
    parallel_tool_calls: bool | None = None
    thinking: bool | None = None
    thinking_budget: int | None = Field(None, ge=0)
    thinking_budget_message: str | None = None
    thinking_switch: ThinkingSwitch | None = None
    reasoning_format: ReasoningFormat | None = None
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    validation_retries: int = Field(2, ge=0, le=16)
