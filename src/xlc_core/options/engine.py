"""How an engine is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from xlc_core.errors import InvalidRequestError
from xlc_core.options.base import GpuLayers, NativeOptions, Seconds, Takes
from xlc_core.options.lora import ControlVector, Lora, listed
from xlc_core.options.media_hosts import RemoteMedia, to_hosts
from xlc_core.options.speculation import Ngram, Speculation, to_speculation
from xlc_core.options.thinking_switch import ReasoningFormat

if TYPE_CHECKING:
    from xlc_core.options.kwargs import EngineKwargs

__all__ = ["CacheType", "EngineOptions", "Pooling"]

Pooling = Literal["mean", "cls", "last", "rank", "none"]
"""How the vectors of a text's tokens are combined into one: ``rank`` is a ranking head, ``none`` keeps them all."""

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]
"""Types of numbers that llama.cpp supports for the KV cache. A number takes 4, 2, 2, 1.06, 0.56, 0.63, 0.56, 0.69 and
0.75 bytes, in this order."""

_LARGEST_TOTAL = 2**30  # tokens


class EngineOptions(NativeOptions):
    """How an engine runs its model. ``acquire_engine`` shares one engine among callers with equal options.

    Attributes:
        model: path of a GGUF file, a catalog name, or ``hf:owner/repo[:quant-or-file]``; None takes the name in the
            environment variable ``XLLAMA_MODEL``.
        n_ctx: tokens that one request may hold, prompt and answer together, at most 2²⁴. llama.cpp rounds it up to a
            multiple of 256 but not above the context of the model's training. None: as many as the model was trained
            with, fewer if memory is short (docs/engine.md).
        n_ctx_total: tokens of KV cache for all requests together, one pool that may be as small as ``n_ctx``. Tokens
            that no request could use are not allocated. None: ``n_ctx × n_parallel``, or 4 times ``n_ctx`` if
            ``n_parallel`` is None; but not more than a quarter of the free memory, or ``n_ctx`` if that is more.
        n_parallel: number of slots, that is, of requests that are generated at once; other requests wait. None: 16; 4
            for models with sliding windows, and at most 4 without a pool, where each takes memory (docs/engine.md).
        n_batch: prompt tokens that are read in one step, at most. Beside other requests steps are shorter, so that
            these get their next token soon (docs/engine.md). At least ``n_parallel``, and 2, whatever is given [512].
        n_ubatch: tokens that are computed at once, at most ``n_batch``; buffers for intermediate results grow with it
            [512].
        n_batch_retrieval: tokens of texts that are embedded or ranked together; None: the fastest size, measured on the
            first texts.
        n_threads: threads that generate, at most 512; None: the physical cores that this process may use.
        n_threads_batch: threads that read prompts, embed and rank, at most 512; None: the value of ``n_threads``.
        device: what computes (docs/gpus.md): ``"cpu"``, ``"cuda"``, ``"vulkan"`` or another backend with all its GPUs,
            or one of them, such as ``"vulkan:0"``; ``"auto"``: CUDA, else Vulkan, else the CPU ["auto"].
        n_gpu_layers: layers on the GPU, ``"auto"`` for as many as fit, ``"all"``, or a number ["auto"].
        main_gpu: the GPU for tensors that cannot be split [0].
        split_mode: how a model is distributed over several GPUs ["layer"].
        tensor_split: share of each GPU, in any unit.
        flash_attn: flash attention; ``"auto"``: if the backend supports it ["auto"].
        encoder: how an embedding model or reranker like BERT runs on a CPU: ``"auto"`` uses xllama's own kernels if the
            processor has AVX2 or AVX-512 (docs/encoders.md), ``"llama.cpp"`` llama.cpp's graph ["auto"].
        cache_type_k: type of the keys in the KV cache ["f16"].
        cache_type_v: type of the values in the KV cache; other than f16 needs flash attention ["f16"].
        kv_unified: one pool of KV cache for all requests. If it is full, the youngest request pauses, and goes on
            later (docs/engine.md). False: each slot has ``n_ctx`` tokens for itself. None: True unless the model has
            recurrent layers.
        use_mmap: map the file into memory instead of reading it [True].
        use_mlock: keep the weights from being swapped out [False].
        pooling: how token vectors are combined into one; None: as the model's file says, else ``rank`` if it has a
            ranking head, else ``mean``. A value other than ``none`` makes a chat model's file one for retrieval:
            its context for generating is made only if it is asked to, with another copy of its weights.
        chat_template: Jinja text of a chat template, instead of the model file's; or a file of it; or a name that
            llama.cpp knows, such as ``"llama3"``, for chats without tools. None: the file's.
        thinking: whether the model may think before it answers; None: the template's default.
        thinking_budget: tokens that the model may think, after which it must answer; None: without limit.
        thinking_budget_message: text that ends the thinking when the budget is used up.
        reasoning_format: place of the thinking: ``deepseek`` keeps it apart, ``none`` leaves it in the text
            ["deepseek"].
        cache_ram_mib: memory for prompts that have lost their slot, in MiB; 0 turns it off, -1 is without limit [1024].
        on_overflow: the reaction when an answer fills the context: end it with ``finish_reason="length"`` (``"error"``
            refuses only prompts that do not fit), or drop the oldest tokens (``"shift"``) ["error"].
        speculation: source of drafted tokens, which the model verifies (docs/speculation.md); one, or several in
            llama.cpp's order of preference.
        mmproj: the multimodal projector that reads images and sound for the model (docs/media.md): path of its GGUF
            file, or ``hf:owner/repo:file``; ``"auto"`` uses the file beside the model's file, or in its repository.
            None: messages hold only text.
        allow_local_media: files that parts of messages may name if they are dictionaries, perhaps from outside the
            program: none, any (True), or those in a folder. Parts that the program makes, such as
            ``ImagePart(path=…)``, may name any file [False].
        allow_remote_media: links to images, sound and video that are fetched (docs/media.md): none, all (True), those
            to some hosts, or those for which a function returns True. Only public addresses are asked, unless an
            address or network such as ``"10.0.0.0/8"`` is among the hosts [False].
        lora: LoRA adapters (docs/lora.md): a path, several, a mapping of paths to scales, or Lora objects. With
            them ``cache_ram_mib`` is 0, as llama.cpp's cache does not know which of them a prompt was read with.
        control_vectors: directions added to the activations, in the forms of ``lora``, with ControlVector objects.
        control_vector_layers: first and last layer to which they are added, from 1; None: all.
        sleep_after: seconds without a request after which the engine frees the model's memory; the next request loads
            the model again and takes longer, and the prompt cache is lost. None: never.
        warmup: run one empty batch when opening, so that the first request is not slower [True].
        llama_args: all other options, as arguments of llama-server's command line, such as
            ``("--rope-scaling", "yarn")``. They override the fields above.
    """

    scope = "engine"
    used_by = "Engine"
    forms = {  # noqa: RUF012  # a ClassVar of the base
        "speculation": "an Ngram, DraftModel, Eagle3, DFlash, DSpark or Mtp, or a list of them",
        "lora": "a path, a list of them, a mapping of paths to scales, or Lora objects",
        "control_vectors": "a path, a list of them, a mapping of paths to scales, or ControlVector objects",
        "allow_local_media": "True, False or a folder",
    }

    model: str | Path | None = None
    n_ctx: int | None = Field(None, ge=2, le=2**24)
    n_ctx_total: int | None = Field(None, ge=2, le=_LARGEST_TOTAL)
    n_parallel: int | None = Field(None, ge=1, le=256)
    n_batch: int = Field(512, ge=1)
    n_ubatch: int = Field(512, ge=1)
    n_batch_retrieval: int | None = Field(None, ge=1)
    n_threads: int | None = Field(None, ge=1, le=512)
    n_threads_batch: int | None = Field(None, ge=1, le=512)
    device: str = "auto"
    n_gpu_layers: GpuLayers = "auto"
    main_gpu: int = Field(0, ge=0)
    split_mode: Literal["none", "layer", "row"] = "layer"
    tensor_split: tuple[float, ...] = ()
    flash_attn: Literal["auto", "on", "off"] = "auto"
    encoder: Literal["auto", "llama.cpp"] = "auto"
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    kv_unified: bool | None = None
    use_mmap: bool = True
    use_mlock: bool = False
    pooling: Pooling | None = None
    chat_template: str | Path | None = None
    thinking: bool | None = None
    thinking_budget: int | None = Field(None, ge=0)
    thinking_budget_message: str = ""
    reasoning_format: ReasoningFormat = "deepseek"
    cache_ram_mib: int = Field(1024, ge=-1)
    on_overflow: Literal["error", "shift"] = "error"
    speculation: Annotated[tuple[Speculation, ...], Takes("Speculation | Sequence[Speculation]")] = ()
    mmproj: str | Path | None = None
    allow_local_media: bool | str | Path = False
    allow_remote_media: Annotated[RemoteMedia, Takes("bool | Collection[str] | Callable[[str], object]")] = False
    lora: Annotated[
        tuple[Lora, ...],
        Takes("str | Path | Lora | Mapping[str, float] | Sequence[str | Path | Lora]"),
    ] = ()
    control_vectors: Annotated[
        tuple[ControlVector, ...],
        Takes("str | Path | ControlVector | Mapping[str, float] | Sequence[str | Path | ControlVector]"),
    ] = ()
    control_vector_layers: tuple[int, int] | None = None
    sleep_after: Seconds | None = None
    warmup: bool = True
    llama_args: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _refuse_shift_with_media(self) -> Self:
        if self.mmproj is not None and self.on_overflow == "shift":
            raise ValueError("llama.cpp cannot shift a context that may hold images; leave on_overflow at 'error'")
        return self

    @model_validator(mode="after")
    def _check_total_context(self) -> Self:
        if self.n_ctx is None:
            return self
        n_slots = self.n_parallel or 1
        if self.n_ctx * n_slots > _LARGEST_TOTAL:
            raise ValueError(
                f"{n_slots} slots of n_ctx={self.n_ctx} tokens exceed llama.cpp's limit; lower n_ctx or n_parallel"
            )
        if self.n_ctx_total is not None and self.n_ctx_total < self.n_ctx:
            raise ValueError(
                f"n_ctx_total={self.n_ctx_total} is less than one request may hold; raise it to n_ctx={self.n_ctx}"
            )
        return self

    @model_validator(mode="after")
    def _check_separate_contexts(self) -> Self:
        if self.kv_unified is False and (conflict := self._find_conflict()):
            raise ValueError(conflict)
        return self

    @classmethod
    def of(cls, model: str | Path | EngineOptions | None, options: EngineKwargs) -> EngineOptions:
        """Return the options that the first argument of Engine and its keyword arguments mean.

        Args:
            model: the options themselves, or their field ``model``.
            options: the other fields.

        Raises:
            InvalidRequestError: an option is wrong, or there are options beside EngineOptions.
        """
        if not isinstance(model, EngineOptions):
            return cls.checked(model=model, **options)
        if options:
            changes = ", ".join(f"{name!r}: …" for name in options)
            raise InvalidRequestError(
                f"EngineOptions hold all options, so {', '.join(options)} cannot be given beside them; change a copy: "
                f"options.model_copy(update={{{changes}}})"
            )
        return model

    def require_room_for_all(self) -> None:
        """Check the sizes for a model whose slots cannot share the KV cache.

        Raises:
            InvalidRequestError: ``n_ctx_total`` does not give every slot ``n_ctx`` tokens.
        """
        if conflict := self._find_conflict():
            raise InvalidRequestError(conflict)

    def _find_conflict(self) -> str | None:
        n_slots = self.n_parallel or 1
        if self.n_ctx is None or self.n_ctx_total is None or self.n_ctx_total >= self.n_ctx * n_slots:
            return None
        return (
            f"n_ctx_total={self.n_ctx_total} gives each of {n_slots} slots {self.n_ctx_total // n_slots} tokens "
            f"instead of n_ctx={self.n_ctx}; raise n_ctx_total to {self.n_ctx * n_slots}, lower n_ctx or n_parallel, "
            "or let the slots share the cache with kv_unified=True"
        )

    @field_validator("allow_remote_media", mode="before")
    @classmethod
    def _read_hosts(cls, value: Any) -> Any:
        return value if isinstance(value, bool) or callable(value) else to_hosts(value)

    @field_validator("lora", "control_vectors", mode="before")
    @classmethod
    def _list_files(cls, value: Any, info: ValidationInfo) -> Any:
        files = listed(value)
        if not all(isinstance(file, (Mapping, Lora, ControlVector)) for file in files):
            raise ValueError(f"must be {cls.forms[info.field_name or '']}")
        return files

    @field_validator("lora")
    @classmethod
    def _refuse_equal_names(cls, value: tuple[Lora, ...]) -> tuple[Lora, ...]:
        names = [file.key for file in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two LoRA adapters are called {name!r}; give each a name: Lora(path, name=…)")
        return value

    @field_validator("control_vector_layers")
    @classmethod
    def _check_layer_range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1]:
            raise ValueError("must be the first and the last layer, counted from 1")
        return value

    @field_validator("speculation", mode="before")
    @classmethod
    def _wrap_single_speculation(cls, value: Any) -> Any:
        kinds = tuple(to_speculation(kind) for kind in (value if isinstance(value, (list, tuple)) else (value,)))
        if not all(isinstance(kind, Speculation) for kind in kinds):
            raise ValueError(f"must be {cls.forms['speculation']}")
        return kinds

    @field_validator("speculation")
    @classmethod
    def _require_one_draft_model(cls, value: tuple[Speculation, ...]) -> tuple[Speculation, ...]:
        drafting = [kind.type_name for kind in value if not isinstance(kind, Ngram)]
        if len(drafting) > 1:
            raise ValueError(f"llama.cpp supports one draft model at a time, not {' and '.join(drafting)}")
        return value
