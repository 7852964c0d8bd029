"""What can be set: on an engine when it opens, and on a request when it is made.

All of them are small frozen pydantic models that refuse unknown names and say which name was meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from xlc_core.options.base import Options
from xlc_core.options.lora import ControlVector, Lora, listed
from xlc_core.options.speculation import Ngram, Speculation
from xlc_core.options.thinking_switch import ThinkingSwitch

__all__ = [
    "ChatOptions",
    "CompletionOptions",
    "EngineOptions",
    "Pooling",
    "SamplingOptions",
    "Truncate",
]

Pooling = Literal["mean", "cls", "last", "rank", "none"]
"""How the vectors of a text's tokens become one: ``rank`` is a ranking head, ``none`` keeps them all."""

Truncate = Literal["error", "end", "start"]
"""What to do with a text that is too long: refuse it, or drop tokens at its end or its start."""

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]
"""Types that llama.cpp can keep the KV cache in."""

ReasoningFormat = Literal["deepseek", "none"]
"""Where thinking goes, by llama.cpp's names: into ``reasoning`` and ReasoningDelta, or it stays in the text."""

SamplerName = Literal[
    "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "infill",
    "adaptive_p",
]  # fmt: skip


class EngineOptions(Options):
    """How an engine runs its model. Two engines with equal options may share one copy of the weights.

    Attributes:
        model: path of a GGUF file, a catalog name, or ``hf:owner/repo[:quant-or-file]``; None takes the name in the
            environment variable ``XLLAMA_MODEL``.
        n_ctx: tokens of context for all slots together, at most 2²⁴, so that one request may hold
            ``n_ctx / n_parallel``; None: as many for each slot as the model was trained with, capped so that the cache
            takes at most a quarter of the free memory.
        n_parallel: slots: requests that are generated at once; the others wait their turn.
        n_batch: prompt tokens that are read in one step; between two steps other requests get their next token and
            cancelled ones go.
        n_ubatch: tokens that are computed at once.
        n_batch_retrieval: tokens of texts that are embedded or ranked together; None: the first texts tell which size
            is fastest.
        n_threads: threads that generate; None: the physical cores that this process may use.
        n_threads_batch: threads that read prompts; None: as ``n_threads``.
        n_gpu_layers: layers on the GPU, ``"auto"`` for as many as fit, ``"all"``, or a number.
        main_gpu: the GPU for what cannot be split.
        split_mode: how a model is spread over several GPUs.
        tensor_split: share of each GPU, in any unit.
        flash_attn: flash attention; ``"auto"`` where the backend has it.
        encoder: what runs an embedding model or reranker of BERT's kind on a CPU: ``"auto"`` takes xllama's own kernels
            where the processor has AVX2 or AVX-512 (docs/encoders.md), ``"llama.cpp"`` its graph.
        cache_type_k: type of the keys in the KV cache.
        cache_type_v: type of the values in the KV cache; other than f16 needs flash attention.
        kv_unified: one cache for all slots, so that one request may hold all of ``n_ctx``. When the requests under
            way together exceed it, llama.cpp ends all of them with an error; so it is off.
        use_mmap: map the file into memory instead of reading it.
        use_mlock: keep the weights from being swapped out.
        pooling: how token vectors become one; None: what the model file says.
        chat_template: Jinja text of a chat template, instead of the file's.
        thinking: whether the model may think before it answers; None: as the template does by default.
        thinking_budget: tokens that the model may think, after which it must answer; None: without limit.
        thinking_budget_message: what is put into the model's mouth when the budget ends its thinking.
        reasoning_format: where thinking goes: ``deepseek`` keeps it apart, ``none`` leaves it in the text.
        cache_ram_mib: memory for prompts that have lost their slot, in MiB; 0 turns it off, -1 is without limit.
        on_overflow: what happens when an answer fills the context: end it with ``finish_reason="length"``
            (``"error"`` refuses only prompts that do not fit), or drop the oldest tokens (``"shift"``).
        speculation: what drafts tokens for the model to verify (docs/speculation.md); one, or several in llama.cpp's
            order of preference.
        mmproj: the multimodal projector that reads images and sound for the model (docs/media.md): path of its GGUF
            file, or ``hf:owner/repo:file``; ``"auto"`` takes the one beside the model's file, or in its repository.
        allow_remote_media: whether messages may hold links to images, sound and video, which are then fetched.
        lora: LoRA adapters (docs/adapters.md): a path, several, a mapping of paths to scales, or Lora objects. With
            them ``cache_ram_mib`` is 0, as llama.cpp's cache does not know which adapters a prompt was read with.
        control_vectors: directions added to the activations: as for ``lora``, of ControlVector objects.
        control_vector_layers: first and last layer that they are added to, from 1; None: all.
        sleep_after: seconds without a request after which the engine frees the model's memory; the next request loads
            it again, in its own time, and the prompt cache is lost. None: never.
        warmup: run one empty batch when opening, so that the first request is not slower.
        llama_args: anything else, as llama-server's command line takes it, such as
            ``("--rope-scaling", "yarn")``. Overrides the fields above.
    """

    model: str | Path | None = None
    n_ctx: int | None = Field(None, ge=2, le=2**24)
    n_parallel: int = Field(4, ge=1, le=256)
    n_batch: int = Field(512, ge=1)
    n_ubatch: int = Field(512, ge=1)
    n_batch_retrieval: int | None = Field(None, ge=1)
    n_threads: int | None = Field(None, ge=1, le=512)
    n_threads_batch: int | None = Field(None, ge=1, le=512)
    n_gpu_layers: int | Literal["auto", "all"] = "auto"
    main_gpu: int = Field(0, ge=0)
    split_mode: Literal["none", "layer", "row"] = "layer"
    tensor_split: tuple[float, ...] = ()
    flash_attn: Literal["auto", "on", "off"] = "auto"
    encoder: Literal["auto", "llama.cpp"] = "auto"
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    kv_unified: bool = False
    use_mmap: bool = True
    use_mlock: bool = False
    pooling: Pooling | None = None
    chat_template: str | None = None
    thinking: bool | None = None
    thinking_budget: int | None = Field(None, ge=0, le=0x7FFF_FFFF)
    thinking_budget_message: str = ""
    reasoning_format: ReasoningFormat = "deepseek"
    cache_ram_mib: int = Field(1024, ge=-1)
    on_overflow: Literal["error", "shift"] = "error"
    speculation: tuple[Speculation, ...] = ()
    mmproj: str | Path | None = None
    allow_remote_media: bool = False
    lora: tuple[Lora, ...] = ()
    control_vectors: tuple[ControlVector, ...] = ()
    control_vector_layers: tuple[int, int] | None = None
    sleep_after: float | None = Field(None, gt=0, allow_inf_nan=False)
    warmup: bool = True
    llama_args: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _media_cannot_shift(self) -> Self:
        if self.mmproj is not None and self.on_overflow == "shift":
            raise ValueError("llama.cpp cannot shift a context that may hold images; leave on_overflow at 'error'")
        return self

    @field_validator("lora", "control_vectors", mode="before")
    @classmethod
    def _adapters_in_any_form(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("lora")
    @classmethod
    def _names_tell_adapters_apart(cls, value: tuple[Lora, ...]) -> tuple[Lora, ...]:
        names = [adapter.key for adapter in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two LoRA adapters are called {name!r}; give each a name: Lora(path, name=…)")
        return value

    @field_validator("control_vector_layers")
    @classmethod
    def _layers_are_a_range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1]:
            raise ValueError("give the first and the last layer, counted from 1")
        return value

    @field_validator("speculation", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)

    @field_validator("speculation")
    @classmethod
    def _one_draft_model(cls, value: tuple[Speculation, ...]) -> tuple[Speculation, ...]:
        drafting = [kind.type_name for kind in value if not isinstance(kind, Ngram)]
        if len(drafting) > 1:
            raise ValueError(f"llama.cpp holds one draft model at a time, not {' and '.join(drafting)}")
        return value


class SamplingOptions(Options):
    """How tokens are chosen and when to stop. None leaves a field at llama.cpp's default, given in brackets.

    Attributes:
        max_tokens: tokens to generate at most; None: until the model stops or the context is full.
        n: answers to the same prompt; each needs a slot, so at most ``n_parallel``.
        temperature: randomness; 0 takes the likeliest token [0.8].
        top_k: keep the k likeliest tokens; 0 turns it off [40].
        top_p: keep the likeliest tokens that together reach this probability; 1 turns it off [0.95].
        min_p: drop tokens less likely than this share of the likeliest; 0 turns it off [0.05].
        typical_p: locally typical sampling; 1 turns it off [1.0].
        top_n_sigma: keep tokens within n standard deviations of the best logit; negative turns it off [-1].
        xtc_probability: chance of removing the likeliest tokens; 0 turns it off [0].
        xtc_threshold: least probability of a token that XTC removes [0.1].
        dynatemp_range: temperature varies by this much with entropy; 0 turns it off [0].
        dynatemp_exponent: how entropy maps to temperature [1].
        repeat_last_n: tokens that penalties look back; 0 turns them off [64].
        repeat_penalty: divides the logits of repeated tokens; 1 turns it off [1].
        frequency_penalty: subtracted per earlier occurrence [0].
        presence_penalty: subtracted once for a token that occurred [0].
        dry_multiplier: strength of the DRY penalty on repeated sequences; 0 turns it off [0].
        dry_base: base of its growth with length [1.75].
        dry_allowed_length: length that is not yet penalised [2].
        dry_penalty_last_n: tokens that DRY looks back; 0 turns it off [64].
        dry_sequence_breakers: strings that end a sequence [newline, colon, quote, star].
        mirostat: 1 or 2 for Mirostat, which replaces the other samplers; 0 turns it off [0].
        mirostat_tau: target entropy [5].
        mirostat_eta: learning rate [0.1].
        adaptive_target: aim for tokens near this probability; negative turns it off [-1].
        adaptive_decay: memory of the adaptive sampler, 0 to 0.99 [0.9].
        min_keep: tokens that samplers must leave at least [0].
        samplers: which samplers run, in order.
        logit_bias: added to a token's logit; a key is a token's number or a text whose tokens are meant, False bans.
        seed: makes sampling repeatable; None draws one. A seeded request reads its whole prompt, uncached, so that
            the same request alone on the engine gives the same text.
        stop: texts that end the answer; they are left out of it.
        ignore_eos: go on after the model's end token.
        logprobs: give the log-probability of each token and of this many likeliest others; 0 gives none.
        post_sampling_probs: log-probabilities after the samplers instead of before them.
        cache_prompt: take the start of the prompt from the cache; None: unless ``seed`` is set.
        n_keep: tokens at the start of the prompt to keep when the context shifts; -1 keeps all of it [0].
        n_discard: tokens to drop when the context shifts; 0 drops half [0].
        n_indent: least indentation of new lines, for code [0].
        n_cache_reuse: shortest run of tokens to reuse from another place in the cache; 0 turns it off [0].
        max_generation_ms: end the answer at the first new line after this time; None for no limit.
    """

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
    repeat_last_n: int | None = Field(None, ge=0)
    repeat_penalty: float | None = Field(None, gt=0)
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    dry_multiplier: float | None = Field(None, ge=0)
    dry_base: float | None = Field(None, ge=1)
    dry_allowed_length: int | None = Field(None, ge=0)
    dry_penalty_last_n: int | None = Field(None, ge=0)
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
    logprobs: int | None = Field(None, ge=0, le=1000)
    post_sampling_probs: bool = False
    cache_prompt: bool | None = None
    n_keep: int | None = Field(None, ge=-1)
    n_discard: int | None = Field(None, ge=0)
    n_indent: int | None = Field(None, ge=0)
    n_cache_reuse: int | None = Field(None, ge=0)
    max_generation_ms: int | None = Field(None, ge=1)

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_list_of_one(cls, value: Any) -> Any:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("stop")
    @classmethod
    def _stop_is_not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("a stop sequence must not be empty")
        return value


class CompletionOptions(SamplingOptions):
    """Everything that a completion takes beside its prompt.

    Attributes:
        constraint: what the answer must match: a Constraint, or what JsonSchema takes, such as a pydantic model.
        timeout: seconds after which the request is given up with RequestTimeoutError.
        prompt_progress: whether a stream reports how far the prompt has been read.
        speculative: whether tokens may be drafted, by ``speculation`` or because a constraint forces them.
        lora: scales of LoRA adapters by name, for this request; the others keep the engine's.
        close_constraint: as ``max_tokens`` or the context run out, end the answer as its constraint (or its tool call)
            allows instead of cutting it off. It then has ``finish_reason="length"`` all the same, and parses.
    """

    constraint: Any = None
    timeout: float | None = Field(None, gt=0)
    prompt_progress: bool = False
    speculative: bool = True
    lora: dict[str, float] | None = None
    close_constraint: bool = True


class ChatOptions(CompletionOptions):
    """Everything that a chat takes beside its messages.

    Attributes:
        tools: functions that the model may call: Tool objects or dictionaries in OpenAI's form.
        tool_choice: ``auto``, ``none``, ``required``, or the name of the tool that must be called.
        parallel_tool_calls: whether several calls may be made at once; None: as the template can.
        thinking: whether the model may think first; None: as the engine was opened.
        thinking_budget: tokens that the model may think, after which it must answer; None: as the engine was opened. No
            effect where the template has no thinking.
        thinking_budget_message: what is put into the model's mouth when the budget, or ``stop_thinking`` of a stream,
            ends its thinking; None: as the engine was opened.
        thinking_switch: ends the thinking from outside.
        reasoning_format: where thinking goes, as in EngineOptions; None: as the engine was opened.
        template_kwargs: variables for the chat template.
    """

    tools: tuple[Any, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool | None = None
    thinking: bool | None = None
    thinking_budget: int | None = Field(None, ge=0, le=0x7FFF_FFFF)
    thinking_budget_message: str | None = None
    thinking_switch: ThinkingSwitch | None = None
    reasoning_format: ReasoningFormat | None = None
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
