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
"""Whether to show a bar on stderr, or a function that is called with how many are done and how many there are (None
where nobody knows) about ten times a second and at the end, on the thread that waits."""


Truncate = Literal["error", "end", "start"]
"""Treatment of a text that is too long: refuse it, or drop tokens at its end or its start."""

RerankTruncate = Literal["error", "end", "start", "split"]
"""Treatment of a document that is too long: refuse it, drop tokens at its end or its start, or take the score of its
best piece."""

RerankScale = Literal["raw", "sigmoid"]
"""Scores as the model gives them, or between 0 and 1."""


class TokenEmbedOptions(NativeOptions):
    """How texts are turned into one vector for each token.

    Attributes:
        truncate: what to do with a text that is longer than the model takes; the prefix is never cut.
        normalize: scale each vector to length 1.
        prefix: put before every text, instead of a prompt.
        prompt: what the texts are, for a model that wants to be told: the prompt that goes before each is
            ``engine.info.query_prompt`` or ``document_prompt``. None puts nothing there.
        dimensions: keep this many leading numbers, for models trained so (Matryoshka), and scale what is kept to length
            1 where ``normalize``; None keeps all.
        progress: show a bar on stderr, or call a function of how many texts are done and how many there are.
        timeout: seconds after which the request is given up.
    """

    scope = "retrieval"
    used_by: ClassVar[str] = "embed and embed_tokens"

    truncate: Truncate = "error"
    normalize: bool = True
    prefix: str | None = None
    prompt: Literal["query", "document"] | None = None
    dimensions: int | None = Field(None, ge=1)
    progress: Progress = False
    timeout: Seconds | None = None


class EmbedOptions(TokenEmbedOptions):
    """How texts are turned into one vector each.

    Attributes:
        dtype: type of the numbers; quantize_embeddings says what each is.
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
    """How an iterable of texts is turned into vectors, a chunk at a time.

    Attributes:
        chunk_size: texts that go to the worker together; a chunk of long texts is smaller, and so are the first ones,
            so that the first vectors come soon.
        timeout: seconds that a chunk may take from when it is waited for.
    """

    used_by = "embed_stream"

    chunk_size: int = Field(512, ge=1)


class RerankOptions(NativeOptions):
    """How documents are scored against a query.

    Attributes:
        top_n: return only the best so many; None returns all.
        truncate: what to do with a document that does not fit beside the query, which is never cut: refuse it, drop
            tokens at its end or start, or ``"split"`` it into pieces and take the best one's score.
        overlap: tokens that the end of a piece and the start of the next one share.
        instruction: what makes a document a good one, such as "Given a bug report, find its duplicates", for models
            that take one; None: what the model's template says.
        scores: ``"raw"`` as the model gives them, or ``"sigmoid"`` for numbers from 0 to 1.
        order_weight: how much the order counts in which the documents are given, best first, as a retriever found
            them: they are ranked by the score plus this times −log(place), both standardised over the documents
            (CombSUM of z-scores: Fox and Shaw 1994, Renda and Straccia 2003). 0: not at all; 1: as much as the score,
            which makes a weak reranker and an embedder better than either. The scores that come back are the model's.
        progress: show a bar on stderr, or call a function of how many documents are done and how many there are; of
            split documents the pieces are counted.
        timeout: seconds after which the request is given up.
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
