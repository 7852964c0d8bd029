"""The part of Llama that does not generate text: tokens, vectors, facts about the model, states, closing."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from xlc_core.compat.llama_cpp.llama_cache import BaseLlamaCache, LlamaRAMCache
from xlc_core.compat.llama_cpp.llama_tokenizer import BaseLlamaTokenizer, LlamaTokenizer
from xlc_core.compat.llama_cpp.opening import pooling_number
from xlc_core.compat.llama_cpp.states import LlamaState, read_state, write_state
from xlc_core.compat.llama_cpp.vocabulary import Vocabulary
from xlc_core.engine.engine import Engine

__all__ = ["LlamaBase"]

_RANDOM_SEED = 0xFFFF_FFFF


class LlamaBase:
    """The methods of Llama that do not generate text.

    Attributes:
        engine: the engine.
        vocabulary: the model's tokens.
        tokenizer_: the tokenizer that was given, or the model's own.
        model_path: the file or name that was given.
        cache: what set_cache got; None before.
    """

    engine: Engine
    vocabulary: Vocabulary
    tokenizer_: BaseLlamaTokenizer
    model_path: str
    cache: BaseLlamaCache | None
    _given: dict[str, Any]  # the constructor's arguments
    _seed: int
    _lock: threading.Lock

    # Tokens

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: the text in UTF-8.
            add_bos: add the tokens that the model needs at the start and end of a prompt.
            special: turn names of control tokens into these tokens.

        Raises:
            UnicodeDecodeError: the text is not UTF-8.
        """
        return self.tokenizer_.tokenize(text, add_bos, special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Return the bytes of tokens; see BaseLlamaTokenizer.detokenize."""
        return self.tokenizer_.detokenize(tokens, prev_tokens, special)

    def tokenizer(self) -> LlamaTokenizer:
        """Return the model's own tokenizer."""
        return LlamaTokenizer(self)

    def token_eos(self) -> int:
        """Return the token at the end of a text; -1 if the model does not have one."""
        return self.vocabulary.eos

    def token_bos(self) -> int:
        """Return the token at the start of a text; -1 if the model does not have one."""
        return self.vocabulary.bos

    def token_nl(self) -> int:
        """Return the token of a new line; -1 if the model does not have one."""
        return self.vocabulary.newline()

    # Vectors

    def embed(
        self,
        input: str | list[str],  # noqa: A002  # llama-cpp-python's name
        normalize: bool = False,
        truncate: bool = True,
        return_count: bool = False,
    ) -> Any:
        """Return vectors of texts.

        Args:
            input: a text or several.
            normalize: scale the vectors to length 1.
            truncate: drop tokens at the end of a text that is too long for the model, instead of refusing it.
            return_count: also return how many tokens the texts have.

        Returns:
            a list of numbers for a text, a list of these for several; for a model without pooling a list for each token
            in place of each list of numbers. With ``return_count`` a pair of this and the count.

        Raises:
            InputTooLongError: a text is too long and ``truncate`` is False.
        """
        texts = [input] if isinstance(input, str) else list(input)
        how: dict[str, Any] = {"normalize": normalize, "truncate": "end" if truncate else "error"}
        if self.engine.info.pooling == "none":
            vectors: list[Any] = [rows.tolist() for rows in self.engine.embed_tokens(texts, **how)]
        else:
            vectors = self.engine.embed(texts, **how).tolist()
        output = vectors[0] if isinstance(input, str) else vectors
        if not return_count:
            return output
        return output, sum(len(self.engine.tokenize(text, add_special=True)) for text in texts)

    def create_embedding(
        self,
        input: str | list[str],  # noqa: A002  # llama-cpp-python's name
        model: str | None = None,
    ) -> dict[str, Any]:
        """Return the response to a request for vectors, in OpenAI's form.

        Args:
            input: a text or several.
            model: name of the model in the response; None: its path.
        """
        vectors, n_tokens = self.embed(input if isinstance(input, list) else [input], return_count=True)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(vectors)
            ],
            "model": model or self.model_path,
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }

    # The model

    def n_ctx(self) -> int:
        """Return how many tokens one request may hold."""
        return self.engine.info.n_ctx

    def n_embd(self) -> int:
        """Return how many numbers a vector has."""
        return self.engine.info.n_embd

    def n_vocab(self) -> int:
        """Return how many tokens there are."""
        return self.engine.info.n_vocab

    def pooling_type(self) -> int:
        """Return llama.cpp's number of how token vectors are combined."""
        return pooling_number(self.engine.info.pooling)

    @staticmethod
    def logits_to_logprobs(logits: npt.ArrayLike, axis: int = -1) -> npt.NDArray[np.single]:
        """Return log-probabilities: the logarithm of the softmax of logits along an axis.

        Args:
            logits: an array of any shape.
            axis: the axis of the tokens.
        """
        shifted = np.asarray(logits, dtype=np.single)
        shifted = shifted - np.max(shifted, axis=axis, keepdims=True)
        return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True)), dtype=np.single)

    @staticmethod
    def longest_token_prefix(a: Sequence[int], b: Sequence[int]) -> int:
        """Return how many tokens at the start of two sequences are equal.

        Args:
            a: one sequence.
            b: the other one.
        """
        return next((n for n, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))

    # Seeds and states

    def set_seed(self, seed: int) -> None:
        """Set the seed from which those of requests without one are drawn."""
        with self._lock:
            self._seed = seed

    def seed_options(self, seed: int | None, is_random: bool) -> dict[str, Any]:
        """Return the engine's options for a request's seed.

        Args:
            seed: the request's own; None: one is drawn, and the prompt's start may come from the cache.
            is_random: whether the request needs a seed at all.
        """
        with self._lock:
            drawn = random.Random(self._seed).randint(0, 2**32) if seed is None else seed
            self._seed = drawn
        wanted = drawn % 2**32
        if wanted == _RANDOM_SEED or (seed is None and not is_random):
            return {}
        return {"seed": wanted, **({"cache_prompt": True} if seed is None else {})}

    def save_state(self) -> LlamaState:
        """Return the conversation that was answered last, with the model's computed state: a session file in memory."""
        return read_state(self.engine, self._seed)

    def load_state(self, state: LlamaState) -> None:
        """Continue from a state of save_state: prompts that begin with its conversation are not computed again.

        Args:
            state: what save_state returned; it is written to a temporary file.

        Raises:
            InvalidRequestError: it was saved with another model or other settings.
        """
        write_state(self.engine, state)
        self.set_seed(state.seed)

    def reset(self) -> None:
        """Do nothing: each request has a state of its own."""

    def set_cache(self, cache: BaseLlamaCache | None) -> None:
        """Remember a cache. The engine's own cache of prompts is always on; ``Llama(cache_ram_mib=0)`` limits it.

        Args:
            cache: a LlamaRAMCache; others are not used, and get a warning.
        """
        if cache is not None and not isinstance(cache, LlamaRAMCache):
            warnings.warn(f"{type(cache).__name__} is not used: the engine has its own cache of prompts", stacklevel=2)
        self.cache = cache

    # The end

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self.engine.closed

    def close(self) -> None:
        """End all requests and free the model. Idempotent, from any thread."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return the constructor's arguments: a copy loads the model again."""
        return dict(self._given)

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).__init__(self, **state)
