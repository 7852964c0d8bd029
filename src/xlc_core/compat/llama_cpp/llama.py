"""Llama, as in llama-cpp-python, on an Engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

import numpy as np
from typing_extensions import Self

from xlc_core.compat.llama_cpp import answering, llama_chat_format, llama_cpp
from xlc_core.compat.llama_cpp.base import LlamaBase
from xlc_core.compat.llama_cpp.criteria import (
    LogitsProcessor,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)
from xlc_core.compat.llama_cpp.fetching import fetch_files
from xlc_core.compat.llama_cpp.llama_cache import BaseLlamaCache
from xlc_core.compat.llama_cpp.llama_grammar import LlamaGrammar
from xlc_core.compat.llama_cpp.llama_tokenizer import BaseLlamaTokenizer, LlamaTokenizer
from xlc_core.compat.llama_cpp.opening import engine_options
from xlc_core.compat.llama_cpp.sampling import sampling_options
from xlc_core.compat.llama_cpp.states import LlamaState
from xlc_core.compat.llama_cpp.vocabulary import Vocabulary
from xlc_core.engine.engine import Engine
from xlc_core.errors import ModelNotFoundError

__all__ = [
    "Llama",
    "LlamaGrammar",
    "LlamaState",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinTokensLogitsProcessor",
    "StoppingCriteria",
    "StoppingCriteriaList",
]

Response = dict[str, Any]

_DEFAULT_SEED = llama_cpp.LLAMA_DEFAULT_SEED

_MISSING = {
    "eval": "create_completion reads the prompt and answers",
    "sample": "generate yields the tokens of an answer",
    "scores": "create_completion(logprobs=…) returns log-probabilities",
    "eval_logits": "create_completion(logprobs=…) returns log-probabilities",
    "eval_tokens": "the engine answers many requests at once, so it has no tokens of its own",
    "input_ids": "the engine answers many requests at once, so it has no tokens of its own",
    "ctx": "the engine has llama.cpp's context to itself",
}
"""Attributes of llama-cpp-python's Llama that are not here, and what to use instead."""


class Llama(LlamaBase):
    """A model, with llama-cpp-python's methods and responses.

    Every method may be called from any thread, also at the same time: requests are generated together.

    Attributes:
        engine: the engine, for all that llama-cpp-python lacks.
        vocabulary: the model's tokens.
        metadata: the model file's metadata.
    """

    def __init__(  # noqa: D417  # llama-cpp-python's documentation has the others
        self,
        model_path: str,
        *,
        n_gpu_layers: int = 0,
        split_mode: int = 1,
        main_gpu: int = 0,
        tensor_split: list[float] | None = None,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        kv_overrides: dict[str, bool | int | float | str] | None = None,
        seed: int = _DEFAULT_SEED,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        rope_scaling_type: int | None = -1,
        pooling_type: int = -1,
        attention_type: int = -1,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        logits_all: bool = False,
        embedding: bool = False,
        offload_kqv: bool = True,
        flash_attn: bool = False,
        op_offload: bool | None = None,
        swa_full: bool | None = None,
        no_perf: bool = False,
        last_n_tokens_size: int = 64,
        lora_base: str | None = None,
        lora_scale: float = 1.0,
        lora_path: str | None = None,
        numa: bool | int = False,
        chat_format: str | None = None,
        chat_handler: Any = None,
        draft_model: Any = None,
        tokenizer: BaseLlamaTokenizer | None = None,
        type_k: int | None = None,
        type_v: int | None = None,
        spm_infill: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> None:
        """Load a model.

        The arguments are llama-cpp-python's; docs/migrating.md says which of them differ. ``logits_all`` and
        ``embedding`` have no effect: log-probabilities and vectors are always available.

        Args:
            model_path: the file; also a catalog name or ``hf:owner/repo[:quant-or-file]``.
            n_gpu_layers: layers on the GPU; -1: all [0].
            n_ctx: tokens that one request may hold, prompt and answer together; 0: as many as the model was trained
                with [512].
            verbose: show a bar on a terminal while loading. Messages go to ``logging.getLogger("xllama")``.
            **kwargs: fields of EngineOptions, such as ``n_parallel`` or ``cache_ram_mib``.

        Raises:
            ValueError: the file does not exist, or an argument has a wrong value.
            ModelLoadError: llama.cpp cannot load it.
            NotImplementedError: an argument asks for something that is not available here.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        self._given = {**given, **kwargs}
        del given["model_path"]
        if is_registered := llama_chat_format.is_registered(chat_format):
            given["chat_format"] = None
        try:
            self.engine = Engine(
                os.fspath(model_path), progress=None if verbose else False, **engine_options(given, kwargs)
            )
        except ModelNotFoundError as error:
            raise ValueError(f"Model path does not exist: {model_path} ({error})") from error
        self.model_path = os.fspath(model_path)
        self.verbose = verbose
        self.vocabulary = Vocabulary(self.engine)
        self.metadata = self.vocabulary.metadata
        self.chat_format = chat_format
        self.chat_handler = llama_chat_format.get_chat_completion_handler(str(chat_format)) if is_registered else None
        if chat_handler is not None and not isinstance(chat_handler, llama_chat_format.MTMDChatHandler):
            self.chat_handler = chat_handler
        self.has_own_tokenizer = tokenizer is not None
        self.tokenizer_ = tokenizer or LlamaTokenizer(self)
        self.cache: BaseLlamaCache | None = None
        options = self.engine.options
        self.n_batch = options.n_batch
        self.repeat_last_n = self.engine.info.n_ctx if last_n_tokens_size < 0 else last_n_tokens_size
        self.context_params = SimpleNamespace(n_ctx=self.n_ctx(), n_batch=options.n_batch, n_ubatch=options.n_ubatch)
        self.model_params = SimpleNamespace(n_gpu_layers=n_gpu_layers, split_mode=split_mode, main_gpu=main_gpu)
        self._handle = llama_cpp.register_model(self)
        self._seed = seed or _DEFAULT_SEED
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> NoReturn:
        if name in _MISSING:
            raise AttributeError(f"Llama.{name} is not available here: {_MISSING[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def model(self) -> int:
        """The model's handle, for the functions of ``llama_cpp`` that read its vocabulary."""
        return self._handle

    # Text

    def create_completion(
        self,
        prompt: str | list[int],
        suffix: str | None = None,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: int | None = None,
        echo: bool = False,
        stop: str | list[str] | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: int | None = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        stopping_criteria: StoppingCriteria | list[StoppingCriteria] | None = None,
        logits_processor: LogitsProcessor | list[LogitsProcessor] | None = None,
        grammar: LlamaGrammar | None = None,
        logit_bias: dict[int, float] | None = None,
    ) -> Response | Iterator[Response]:
        """Continue a text.

        Args:
            prompt: the text, or its tokens.
            suffix: text after the gap, which the answer fills if the model has infill tokens; None: no gap.
            max_tokens: tokens to generate at most; None or 0: until the model stops or the context is full [16].
            temperature: randomness; 0 takes the likeliest token, below 0 the model's own probabilities count [0.8].
            top_p: keep the likeliest tokens that together reach this probability [0.95].
            min_p: drop tokens less likely than this share of the likeliest [0.05].
            typical_p: locally typical sampling; 1 turns it off [1].
            logprobs: return log-probabilities, with this many of the likeliest tokens at each place; None: none.
            echo: put the prompt before the answer.
            stop: a text or several that end the answer; None: none.
            frequency_penalty: subtracted for each earlier occurrence [0].
            presence_penalty: subtracted once for a token that occurred [0].
            repeat_penalty: divides the logits of repeated tokens; 1 turns it off [1].
            top_k: keep the likeliest tokens; 0 or less turns it off [40].
            stream: return an iterator of chunks.
            seed: makes sampling repeatable. The prompt is then read again as a whole. None: a seed is drawn.
            tfs_z: has no effect, as in llama-cpp-python.
            mirostat_mode: 1 or 2 for Mirostat [0].
            mirostat_tau: target entropy [5].
            mirostat_eta: learning rate [0.1].
            model: name of the model in the response; None: its path.
            stopping_criteria: functions of the tokens so far, and NaN for scores, that may end the answer; None: none.
            logits_processor: functions that get the tokens so far and the log-probability of each token, and return the
                numbers to choose by; None: none. Slow: each token is a request of its own.
            grammar: what the answer must match; None: anything.
            logit_bias: added to the logits of tokens, by number; None: nothing.

        Returns:
            the response, in OpenAI's form; with ``stream`` an iterator of its chunks.

        Raises:
            ValueError: the prompt does not fit into the context, or an argument has a wrong value.
            NotImplementedError: arguments cannot be combined here.
        """
        return answering.complete(self, _own_locals(locals()))

    __call__ = create_completion

    def create_chat_completion(  # noqa: D417  # the others are create_completion's
        self,
        messages: list[Any],
        functions: list[Any] | None = None,
        function_call: Any = None,
        tools: list[Any] | None = None,
        tool_choice: Any = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: str | list[str] | None = None,
        seed: int | None = None,
        response_format: Any = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        logits_processor: LogitsProcessor | list[LogitsProcessor] | None = None,
        grammar: LlamaGrammar | None = None,
        logit_bias: dict[int, float] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> Response | Iterator[Response]:
        """Answer a chat. Arguments that are not listed are those of create_completion.

        Args:
            messages: the messages, in OpenAI's form.
            temperature: randomness [0.2].
            max_tokens: tokens to generate at most; None: as many as fit [None].
            functions: functions that the model may call, in OpenAI's earlier form; None: none.
            function_call: ``"auto"``, ``"none"``, or the function that must be called; None: ``"auto"``.
            tools: tools that the model may call; None: none.
            tool_choice: ``"auto"``, ``"none"``, ``"required"``, or the tool that must be called; None: ``"auto"``.
            response_format: ``{"type": "json_object"}``, perhaps with ``schema``; OpenAI's ``json_schema``; None: text.
            logprobs: whether to return log-probabilities; None: no.
            top_logprobs: how many of the likeliest tokens at each place they include; None: none.

        Returns:
            the response, in OpenAI's form; with ``stream`` an iterator of its chunks.

        Raises:
            XllamaError: those of create_completion.
        """
        given = _own_locals(locals())
        if self.chat_handler is not None:
            response: Response | Iterator[Response] = self.chat_handler(llama=self, **given)
            return response
        return answering.chat(self, given)

    def create_chat_completion_openai_v1(self, *args: Any, **kwargs: Any) -> Any:
        """Answer a chat, with objects of the package openai instead of dictionaries; see create_chat_completion.

        Raises:
            ImportError: the package is not installed.
        """
        from openai.types.chat import ChatCompletion, ChatCompletionChunk

        response = self.create_chat_completion(*args, **kwargs)
        if isinstance(response, Mapping):
            return ChatCompletion.model_validate(response)
        return (ChatCompletionChunk.model_validate(chunk) for chunk in response)

    def generate(  # noqa: D417  # the others are create_completion's
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: LogitsProcessor | list[LogitsProcessor] | None = None,
        stopping_criteria: StoppingCriteria | list[StoppingCriteria] | None = None,
        grammar: LlamaGrammar | None = None,
    ) -> Iterator[int]:
        """Yield the tokens that follow some tokens, without the one that ends the answer.

        ``reset``, ``tfs_z`` and ``penalize_nl`` have no effect; tokens cannot be sent to the generator.

        Args:
            tokens: the prompt.
            temp: as ``temperature`` in create_completion; the other arguments are those of create_completion too.
        """
        given = {**_own_locals(locals()), "temperature": temp, "max_tokens": None, "stop": None, "logit_bias": None}
        options = {**sampling_options(given, repeat_last_n=self.repeat_last_n), **self.seed_options(None, temp != 0)}
        del options["stop"]
        so_far = list(tokens)
        ends = StoppingCriteriaList(stopping_criteria) if isinstance(stopping_criteria, list) else stopping_criteria
        unset = np.full(self.n_vocab(), np.nan, dtype=np.single)
        for entry in answering.token_source(self, so_far, options, logits_processor):
            if ends is not None and ends(np.array(so_far, dtype=np.intc), unset):
                return
            so_far.append(entry.id)
            yield entry.id

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str | None,
        additional_files: list[str] | None = None,
        local_dir: str | Path | None = None,
        local_dir_use_symlinks: bool | Literal["auto"] = "auto",
        cache_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> Self:
        """Fetch a model from the Hugging Face hub and load it.

        Args:
            repo_id: the repository, such as ``Qwen/Qwen3-0.6B-GGUF``.
            filename: the file, or a pattern with ``*`` that fits one file; of a split model its first part.
            additional_files: further files or patterns; None: none. All parts of a split model are fetched anyway.
            local_dir: folder for the files; None: huggingface_hub's cache.
            local_dir_use_symlinks: has no effect, as in today's huggingface_hub.
            cache_dir: another folder for the cache; None: huggingface_hub's.
            **kwargs: arguments of the constructor.

        Returns:
            the model, loaded.

        Raises:
            ValueError: no file or several fit.
        """
        path = fetch_files(
            repo_id, [str(filename), *(additional_files or ())], local_dir=local_dir, cache_dir=cache_dir
        )
        return cls(path, **kwargs)


def _own_locals(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "self"}
