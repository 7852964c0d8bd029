"""XLlamaEmbedding: a GGUF embedding model inside this process, as a LlamaIndex embedding."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from pydantic import Field, PrivateAttr, model_validator
from typing_extensions import Self

from xlc_core.frameworks import EngineAdapter, Truncate, model_identity, retrieval_prompt
from xlc_llamaindex.embedding_cache import KeyedCache

__all__ = ["XLlamaEmbedding"]

_Kind = Literal["query", "document"]

_ROWS_AT_ONCE = 256
"""Vectors that are turned into lists before the event loop gets its turn: about 3 ms."""


class XLlamaEmbedding(EngineAdapter, BaseEmbedding):
    """Embeds texts with a GGUF model that llama.cpp runs inside this process.

    Building one loads nothing; see ``load()`` and ``close()``. A batch may be of any size: the engine orders its
    texts by length and packs them itself, so large ones are faster. An ``embeddings_cache`` tells models, options,
    queries and passages apart.

    Every method raises xllama's own errors, among them ``InputTooLongError`` for a text that is longer than the model
    takes, unless ``truncate`` says otherwise.

    Example:
        >>> embed_model = XLlamaEmbedding(model="all-minilm-l6-v2")
        >>> len(embed_model.get_query_embedding("What is a slot?"))
        384
    """

    embed_batch_size: int = Field(4096, gt=0)
    """Texts that go to the engine at once; between two batches LlamaIndex reports to callbacks."""

    query_instruction: str | None = None
    """Text put before a query; None: what the model wants, by its catalog entry, its file or its name."""

    text_instruction: str | None = None
    """Text put before a passage; None: what the model wants, by its catalog entry, its file or its name."""

    truncate: Truncate = "error"
    """Whether a text that is too long is refused, or cut at its ``"end"`` or ``"start"``."""

    normalize: bool = True
    """Whether vectors are scaled to length 1."""

    dimensions: int | None = Field(None, ge=1)
    """Keep this many leading dimensions, for models trained to allow it; None: all."""

    _shows_progress: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _take_the_model_by_its_other_name(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if name != "model_file"}  # of to_dict
        if values.get("model") is None and values.get("engine") is None and "model_name" in values:
            values["model"] = values["model_name"]
        return values

    @model_validator(mode="after")
    def _name_the_model(self) -> Self:
        self.model_name = self._model_name()
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "XLlamaEmbedding"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Write the configuration out, and under ``model_file`` which weights it stands for.

        LlamaIndex's ingestion cache is keyed by this, so another file under the same name is embedded anew.
        """
        return {**super().to_dict(**kwargs), "model_file": model_identity(self.model)}

    # What LlamaIndex calls for vectors

    def _get_query_embedding(self, query: str) -> Embedding:
        return _lists(self._get_engine().embed([query], **self._request("query")))[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        engine = await self._aget_engine()
        return _lists(await engine.aembed([query], **self._request("query")))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return _lists(self._get_engine().embed(texts, **self._request("document"), progress=self._shows_progress))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        engine = await self._aget_engine()
        vectors = await engine.aembed(texts, **self._request("document"), progress=self._shows_progress)
        lists: list[Embedding] = []
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            lists += _lists(vectors[start : start + _ROWS_AT_ONCE])
            await asyncio.sleep(0)
        return lists

    def _request(self, kind: _Kind) -> dict[str, Any]:
        """Return what every call passes to the engine beside its texts."""
        return {
            "prefix": self.query_instruction if kind == "query" else self.text_instruction,
            "prompt": kind,
            "truncate": self.truncate,
            "normalize": self.normalize,
            "dimensions": self.dimensions,
        }

    # What users call: as LlamaIndex has it, with the cache's keys and the progress bar made right

    def get_query_embedding(self, query: str) -> Embedding:
        """Embed a query."""
        result: Embedding = _plain(BaseEmbedding.get_query_embedding)(self._for("query"), query)
        return result

    async def aget_query_embedding(self, query: str) -> Embedding:
        """Embed a query without blocking the event loop."""
        result: Embedding = await _plain(BaseEmbedding.aget_query_embedding)(self._for("query"), query)
        return result

    def get_text_embedding(self, text: str) -> Embedding:
        """Embed a passage."""
        result: Embedding = _plain(BaseEmbedding.get_text_embedding)(self._for("document"), text)
        return result

    async def aget_text_embedding(self, text: str) -> Embedding:
        """Embed a passage without blocking the event loop."""
        result: Embedding = await _plain(BaseEmbedding.aget_text_embedding)(self._for("document"), text)
        return result

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Embedding]:
        """Embed passages.

        Args:
            texts: any number of them, of any length and order.
            show_progress: show a bar on stderr that counts the texts that are done.
            **kwargs: not used.

        Returns:
            One vector for each, in their order.
        """
        embed = _plain(BaseEmbedding.get_text_embedding_batch)
        result: list[Embedding] = embed(self._for("document", show_progress), texts, **kwargs)
        return result

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Embed passages without blocking the event loop; as get_text_embedding_batch."""
        embed = _plain(BaseEmbedding.aget_text_embedding_batch)
        result: list[Embedding] = await embed(self._for("document", show_progress), texts, **kwargs)
        return result

    def _for(self, kind: _Kind, show_progress: bool = False) -> Self:
        """Return this embedding with a cache for one kind of text, and with or without the engine's progress bar."""
        if self.embeddings_cache is None and not show_progress:
            return self
        cache = self.embeddings_cache
        if cache is not None:
            request = (model_identity(self.model), self._engine_options(), self._request(kind))
            cache = KeyedCache(cache, repr((*request, retrieval_prompt(self.model, kind))))
        variant = self.model_copy(update={"embeddings_cache": cache})
        variant._shows_progress = show_progress
        return variant


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of LlamaIndex's without its span, since the one that calls it has a span of its own."""
    plain: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return plain


def _lists(vectors: npt.NDArray[np.float32]) -> list[Embedding]:
    lists: list[Embedding] = vectors.tolist()
    return lists
