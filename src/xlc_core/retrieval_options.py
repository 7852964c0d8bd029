"""What can be set on a request to embed or rerank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from pydantic import Field, field_validator

from xlc_core.embedding_types import EmbeddingType, as_ranges
from xlc_core.option_base import Options
from xlc_core.options import Truncate

__all__ = [
    "EmbedKwargs",
    "EmbedOptions",
    "EmbedStreamKwargs",
    "EmbedStreamOptions",
    "Progress",
    "TokenEmbedKwargs",
    "TokenEmbedOptions",
]

Progress = bool | Callable[[int, int | None], None]
"""Whether to show a bar on stderr, or a function that is called with how many are done and how many there are (None
where nobody knows) about ten times a second and at the end, on the thread that waits."""


class TokenEmbedOptions(Options):
    """How texts are turned into one vector for each token.

    Attributes:
        truncate: what to do with a text that is longer than the model takes; the prefix is never cut.
        normalize: scale each vector to length 1.
        prefix: put before every text.
        dimensions: keep this many leading numbers, for models trained so (Matryoshka), and scale what is kept to length
            1 where ``normalize``; None keeps all.
        progress: show a bar on stderr, or call a function of how many texts are done and how many there are.
        timeout: seconds after which the request is given up.
    """

    truncate: Truncate = "error"
    normalize: bool = True
    prefix: str = ""
    dimensions: int | None = Field(None, ge=1)
    progress: Progress = False
    timeout: float | None = Field(None, gt=0)


class EmbedOptions(TokenEmbedOptions):
    """How texts are turned into one vector each.

    Attributes:
        dtype: type of the numbers; quantize_embeddings says what each is.
        int8_ranges: for ``int8`` and ``uint8``, the least and greatest number: a pair, or an array (2, dimensions) such
            as ``np.stack([vectors.min(axis=0), vectors.max(axis=0)])``; None: −1 and 1.
    """

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

    chunk_size: int = Field(512, ge=1)


class TokenEmbedKwargs(TypedDict, total=False):
    """The fields of TokenEmbedOptions as keyword arguments."""

    truncate: Truncate
    normalize: bool
    prefix: str
    dimensions: int | None
    progress: Progress
    timeout: float | None


class EmbedKwargs(TokenEmbedKwargs, total=False):
    """The fields of EmbedOptions as keyword arguments."""

    dtype: EmbeddingType
    int8_ranges: Any


class EmbedStreamKwargs(EmbedKwargs, total=False):
    """The fields of EmbedStreamOptions as keyword arguments."""

    chunk_size: int
