"""Options of requests to embed or rerank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from xlc_core.options.base import NativeOptions, Seconds
from xlc_core.options.embedding_types import EmbeddingType, as_ranges

__all__ = [
    "EmbedOptions",
    "EmbedStreamOptions",
    "Progress",
    "RerankOptions",
    "RerankScale",
    "RerankTruncate",
    "TokenEmbedOptions",
    "Truncate",
]

Progress = bool | Callable[[int, int | None], None]
"""Whether to show a bar on stderr, or a function that is called with the number of finished items and the total (None
if it is unknown), about ten times a second and at the end, on the waiting thread."""


Truncate = Literal["error", "end", "start"]
"""Treatment of a text that is too long: refuse it, or drop tokens at its end or its start."""

RerankTruncate = Literal["error", "end", "start", "split"]
"""Treatment of a document that is too long: refuse it, drop tokens at its end or its start, or take the score of its
best piece."""

RerankScale = Literal["raw", "sigmoid"]
"""The model's scores, or numbers between 0 and 1: a logit x becomes 1 / (1 + exp(−x))."""


class TokenEmbedOptions(NativeOptions):
    """Options for one vector per token.

    Attributes:
        truncate: how to treat a text that is too long for the model; the prompt is never truncated ["error"].
        normalize: scale each vector to length 1 [True].
        prompt_name: "query" or "document", for models that were trained with prompts: ``engine.info.query_prompt`` or
            ``document_prompt`` is put before each text. None: no prompt.
        prompt: text to put before each text instead, such as ``"query: "``; empty: no prompt; None: that of
            ``prompt_name``.
        dimensions: keep this many leading numbers, at most those that the model has, for models that were trained for
            it (Matryoshka: Kusupati and others 2022), and scale them to length 1 if ``normalize`` is set; None keeps
            all.
        progress: show a bar on stderr, or call a function with the number of finished texts and the total [False].
        timeout: seconds after which the request ends with RequestTimeoutError; None: no limit.
    """

    scope = "retrieval"
    used_by: ClassVar[str] = "embed and embed_tokens"

    truncate: Truncate = "error"
    normalize: bool = True
    prompt_name: Literal["query", "document"] | None = None
    prompt: str | None = None
    dimensions: int | None = Field(None, ge=1)
    progress: Progress = False
    timeout: Seconds | None = None

    @field_validator("prompt")
    @classmethod
    def _refuse_prompt_name(cls, value: str | None) -> str | None:
        if value in ("query", "document"):
            raise ValueError(f"must be the text itself; the model's own prompt is prompt_name={value!r}")
        return value


class EmbedOptions(TokenEmbedOptions):
    """Options for one vector per text.

    Attributes:
        dtype: type of the numbers; quantize_embeddings describes each ["float32"].
        int8_ranges: for ``int8`` and ``uint8``, the least and greatest number: a pair, or an array (2, dimensions) such
            as ``np.stack([vectors.min(axis=0), vectors.max(axis=0)])``; None: −1 and 1.
    """

    used_by = "embed"

    dtype: EmbeddingType = "float32"
    int8_ranges: Any = None

    @field_validator("int8_ranges")
    @classmethod
    def _are_ranges(cls, value: Any) -> Any:
        return None if value is None else as_ranges(value)


class EmbedStreamOptions(EmbedOptions):
    """Options to embed an iterable of texts, a chunk at a time.

    Attributes:
        chunk_size: texts that go to the worker together. Chunks of long texts are smaller: they end with the text that
            makes them 2²⁰ characters long. So are the first ones, so that the first vectors come soon: 16 texts, then
            twice as many each time [512].
        timeout: seconds that the caller may wait for a chunk; None: no limit.
    """

    used_by = "embed_stream"

    chunk_size: int = Field(512, ge=1)


class RerankOptions(NativeOptions):
    """Options to score documents against a query.

    Attributes:
        top_n: return only this many of the best documents; None returns all.
        truncate: how to treat a document that does not fit beside the query: refuse it, remove tokens at its end or
            start, or ``"split"`` it into pieces and use the best one's score. The query is never truncated ["error"].
        overlap: tokens that the end of a piece and the start of the next one share, at most half of a piece [64].
        instruction: describes good documents, such as "Given a bug report, find its duplicates", for models
            that take one; None: the instruction in the model's template.
        scores: ``"raw"``: the model's scores; ``"sigmoid"``: numbers from 0 to 1 ["raw"].
        order_weight: how much the original order of the documents counts, best first, as a retriever found them. They
            are ranked by the score plus this times −log(place), both standardised over the documents (CombSUM of
            z-scores: Fox and Shaw 1994, Renda and Straccia 2003). 0: not at all; 1: as much as the score, which makes a
            weak reranker and an embedder better than either alone. The returned scores do not change [0.0].
        progress: show a bar on stderr, or call a function with the number of finished documents and the total; for
            split documents it counts pieces [False].
        timeout: seconds after which the request ends with RequestTimeoutError; None: no limit.
    """

    scope = "retrieval"
    used_by = "rerank"

    top_n: int | None = Field(None, ge=0)
    truncate: RerankTruncate = "error"
    overlap: int = Field(64, ge=0)
    instruction: str | None = None
    scores: RerankScale = "raw"
    order_weight: float = Field(0.0, ge=0)
    progress: Progress = False
    timeout: Seconds | None = None
