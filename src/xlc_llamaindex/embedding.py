"""XLlamaEmbedding: a GGUF embedding model inside this process, as a LlamaIndex embedding."""

import asyncio
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core.frameworks import EmbedderAdapter, TextKind, as_sequence, model_identity, retrieval_prompt
from xlc_llamaindex.embedding_cache import KeyedCache

__all__ = ["XLlamaEmbedding"]

_COLLECTION = "embeddings"
_ROWS_AT_ONCE = 256
"""Vectors that are turned into lists before the event loop gets its turn: about 3 ms."""

dispatcher = get_dispatcher(__name__)


class XLlamaEmbedding(EmbedderAdapter, BaseEmbedding):
    """Embeds texts with a GGUF model that llama.cpp runs inside this process.

    Building one loads nothing; see ``load()`` and ``close()``. A batch may have any size: the engine orders its texts
    by length and packs them itself, so large ones are faster. An ``embeddings_cache`` keeps models, options, queries
    and passages apart.

    Every method raises xllama's own errors, among them ``InputTooLongError`` for a text that is longer than the model
    takes, unless ``truncate`` allows to cut it.

    Examples:
        >>> embed_model = XLlamaEmbedding(model="all-minilm-l6-v2")
        >>> len(embed_model.get_query_embedding("What is a slot?"))
        384
    """

    embed_batch_size: int = Field(4096, gt=0)
    """Texts that go to the engine at once; between two batches LlamaIndex reports to callbacks."""

    @model_validator(mode="before")
    @classmethod
    def _accept_model_name(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if name != "model_file"}  # written by to_dict
        if values.get("model") is None and values.get("engine") is None and "model_name" in values:
            values["model"] = values["model_name"]
        return values

    @model_validator(mode="after")
    def _set_model_name(self) -> Self:
        self.model_name = self._model_name()
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "XLlamaEmbedding"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return the configuration, and under ``model_file`` the identity of the model's file.

        LlamaIndex's ingestion cache uses this as a key, so texts are embedded again after the file has changed. Takes
        milliseconds, for the samples of the file that the identity is made of.

        Args:
            **kwargs: what LlamaIndex's own method takes.
        """
        return {**super().to_dict(**kwargs), "model_file": model_identity(self.model)}

    # The vectors of texts, which LlamaIndex's base class requires

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([query], "query")[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([query], "query"))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([text], "document")[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed([text], "document"))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed(texts, "document")

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(texts, "document")

    def _embed(self, texts: list[str], kind: TextKind, progress: bool = False) -> list[Embedding]:
        return _lists(self._get_engine().embed(texts, **self._embed_options(kind, progress=progress)))

    async def _aembed(self, texts: list[str], kind: TextKind, progress: bool = False) -> list[Embedding]:
        engine = await self._aget_engine()
        vectors = await engine.aembed(texts, **self._embed_options(kind, progress=progress))
        lists: list[Embedding] = []
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            lists += _lists(vectors[start : start + _ROWS_AT_ONCE])
            await asyncio.sleep(0)
        return lists

    # The methods for users. LlamaIndex's own use the bare text as a cache key, and show progress by batches only.

    def get_query_embedding(self, query: str) -> Embedding:
        """Return the vector of a query.

        Args:
            query: the question.
        """
        return self._embed_batch([query], "query")[0]

    async def aget_query_embedding(self, query: str) -> Embedding:
        """Return the vector of a query without blocking the event loop; as get_query_embedding."""
        return (await self._aembed_batch([query], "query"))[0]

    def get_text_embedding(self, text: str) -> Embedding:
        """Return the vector of a passage.

        Args:
            text: the passage.
        """
        return self._embed_batch([text], "document")[0]

    async def aget_text_embedding(self, text: str) -> Embedding:
        """Return the vector of a passage without blocking the event loop; as get_text_embedding."""
        return (await self._aembed_batch([text], "document"))[0]

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Embedding]:
        """Embed passages.

        Args:
            texts: any number of them, of any length and order; an array, a column of a table or a generator too.
            show_progress: show a bar on stderr that counts the texts that are done.
            **kwargs: not used.

        Returns:
            One vector for each, in their order, of length 1 unless ``normalize`` is False. LlamaIndex's interface has
            lists of Python's numbers, which take eight times the memory of the array that ``xlc_core.Engine.embed``
            returns.
        """
        vectors: list[Embedding] = []
        for batch in self._batches(texts):
            vectors += self._embed_batch(batch, "document", show_progress)
        return vectors

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Embed passages without blocking the event loop; as get_text_embedding_batch."""
        batches = await asyncio.gather(
            *(self._aembed_batch(batch, "document", show_progress) for batch in self._batches(texts))
        )
        return [vector for batch in batches for vector in batch]

    def _batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        texts = as_sequence(texts, "text")
        for start in range(0, len(texts), self.embed_batch_size):
            yield list(texts[start : start + self.embed_batch_size])

    def _embed_batch(self, texts: list[str], kind: TextKind, progress: bool = False) -> list[Embedding]:
        """Return vectors from the cache, embed the other texts, and report to LlamaIndex."""
        with self._reported(texts) as vectors:
            cache = self._cache(kind)
            vectors += [_cached(cache.get(text, _COLLECTION)) if cache else [] for text in texts]
            missing = [place for place, vector in enumerate(vectors) if not vector]
            if missing:
                if self.rate_limiter is not None:
                    self.rate_limiter.acquire()
                embedded = self._embed([texts[place] for place in missing], kind, progress)
                for place, vector in zip(missing, embedded, strict=True):
                    vectors[place] = vector
                    if cache:
                        cache.put(texts[place], _entry(vector), _COLLECTION)
        return vectors

    async def _aembed_batch(self, texts: list[str], kind: TextKind, progress: bool = False) -> list[Embedding]:
        """Return vectors from the cache, embed the other texts, and report to LlamaIndex."""
        with self._reported(texts) as vectors:
            cache = self._cache(kind)
            vectors += [_cached(await cache.aget(text, _COLLECTION)) if cache else [] for text in texts]
            missing = [place for place, vector in enumerate(vectors) if not vector]
            if missing:
                if self.rate_limiter is not None:
                    await self.rate_limiter.async_acquire()
                embedded = await self._aembed([texts[place] for place in missing], kind, progress)
                for place, vector in zip(missing, embedded, strict=True):
                    vectors[place] = vector
                    if cache:
                        await cache.aput(texts[place], _entry(vector), _COLLECTION)
        return vectors

    def _cache(self, kind: TextKind) -> KeyedCache | None:
        """Return the cache of vectors of this model, these options and this kind of text."""
        if self.embeddings_cache is None:
            return None
        options = self._embed_options(kind)
        options.pop("timeout")
        options.pop("progress")
        key = (model_identity(self.model), self._engine_options(), options, retrieval_prompt(self.model, kind))
        return KeyedCache(self.embeddings_cache, repr(key))

    @contextmanager
    def _reported(self, texts: list[str]) -> Iterator[list[Embedding]]:
        """Report start and end in LlamaIndex's two ways; yield the list for the vectors."""
        vectors: list[Embedding] = []
        described = self.to_payload()
        dispatcher.event(EmbeddingStartEvent(model_dict=described))
        with self.callback_manager.event(CBEventType.EMBEDDING, {EventPayload.SERIALIZED: described}) as event:
            yield vectors
            event.on_end({EventPayload.CHUNKS: texts, EventPayload.EMBEDDINGS: vectors})
        dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors))


def _cached(entry: dict[str, Any] | None) -> Embedding:
    """Return the vector in a cache's entry; empty when there is no entry."""
    vector: Embedding = next(iter(entry.values())) if entry else []
    return vector


def _entry(vector: Embedding) -> dict[str, Any]:
    """Return a cache's entry in LlamaIndex's form."""
    return {str(uuid.uuid4()): vector}


def _lists(vectors: npt.NDArray[np.float32]) -> list[Embedding]:
    lists: list[Embedding] = vectors.tolist()
    return lists
