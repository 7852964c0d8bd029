"""The engine's methods for embedding and reranking."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import RetrievalJob
from xlc_core.catalog import CatalogEntry
from xlc_core.embedding_streams import AsyncEmbeddingStream, EmbeddingStream
from xlc_core.embedding_types import quantize_embeddings
from xlc_core.options import Truncate
from xlc_core.results import RerankScore
from xlc_core.retrieval_jobs import await_job, run_job
from xlc_core.retrieval_options import (
    EmbedKwargs,
    EmbedOptions,
    EmbedStreamKwargs,
    EmbedStreamOptions,
    Progress,
    TokenEmbedKwargs,
    TokenEmbedOptions,
)

__all__ = ["RetrievalMethods", "best_first"]

Embeddings = npt.NDArray[Any]
TokenEmbeddings = list[npt.NDArray[np.float32]]

_LONG_CONVERSION = 1_000_000
"""Numbers that take longer to convert than an event loop should be held up."""


def best_first(scores: npt.NDArray[np.float32], top_n: int | None) -> list[RerankScore]:
    """Order documents by score, best first; equal scores keep their order."""
    order = np.argsort(-scores, kind="stable")[:top_n]
    return [RerankScore(int(index), float(scores[index])) for index in order]


_stream_numbers = itertools.count(1)


class RetrievalMethods:
    """What Engine does on its retrieval worker."""

    _native: NativeEngine
    _entry: CatalogEntry | None

    def embed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> Embeddings:
        """Turn texts into vectors.

        Args:
            texts: any number of texts, of any length and order.
            **options: fields of EmbedOptions: ``truncate``, ``normalize``, ``prefix``, ``dimensions``, ``dtype``,
                ``progress``, ``timeout``…

        Returns:
            float32 array of shape (len(texts), dimensions), in the order of the texts, whose memory was written once;
            or one of the ``dtype`` asked for.

        Raises:
            InputTooLongError: a text is too long and ``truncate`` is ``"error"``.
            InvalidRequestError: a text is no string, or holds what no tokenizer can read; or an option is wrong.
            UnsupportedFeatureError: the model gives no embeddings.
            RequestTimeoutError: ``timeout`` passed.
        """
        wanted = EmbedOptions.checked(**options)
        vectors = run_job(self._embed_job(texts, wanted), wanted.timeout, wanted.progress)
        return quantize_embeddings(vectors, wanted.dtype, ranges=wanted.int8_ranges)

    async def aembed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> Embeddings:
        """Turn texts into vectors; as embed."""
        wanted = EmbedOptions.checked(**options)
        vectors = await await_job(self._embed_job(texts, wanted), wanted.timeout, wanted.progress)
        if wanted.dtype != "float32" and vectors.size > _LONG_CONVERSION:
            return await asyncio.to_thread(quantize_embeddings, vectors, wanted.dtype, ranges=wanted.int8_ranges)
        return quantize_embeddings(vectors, wanted.dtype, ranges=wanted.int8_ranges)

    def embed_stream(self, texts: Iterable[str], **options: Unpack[EmbedStreamKwargs]) -> EmbeddingStream:
        """Turn any number of texts into vectors, one after another and in constant memory.

        Texts are read as their turn comes, a few chunks ahead of the vectors taken. What goes wrong, in the iterable
        too, is raised after the vectors of the chunks before it.

        Args:
            texts: the texts; a generator, a file's lines, a database cursor… An error names their place in it.
            **options: fields of EmbedStreamOptions: those of embed, and ``chunk_size``.

        Returns:
            an iterator of arrays (dimensions,), views of their chunk's array: copy the few that you keep of many. Its
            ``chunks()`` gives arrays (n, dimensions) instead; ``close()`` ends it.

        Raises:
            Those of embed.
        """
        wanted = EmbedStreamOptions.checked(**options)
        return EmbeddingStream(self._stream_submitter(wanted), wanted, texts)

    def aembed_stream(
        self, texts: Iterable[str] | AsyncIterable[str], **options: Unpack[EmbedStreamKwargs]
    ) -> AsyncEmbeddingStream:
        """Turn any number of texts into vectors, for ``async for``; as embed_stream."""
        wanted = EmbedStreamOptions.checked(**options)
        return AsyncEmbeddingStream(self._stream_submitter(wanted), wanted, texts)

    def embed_tokens(self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]) -> TokenEmbeddings:
        """Turn each token of each text into a vector, for late interaction.

        Args:
            texts: any number of texts, of any length and order.
            **options: fields of TokenEmbedOptions.

        Returns:
            one float32 array of shape (tokens of the text, dimensions) per text, special tokens included.

        Raises:
            Those of embed.
        """
        wanted = TokenEmbedOptions.checked(**options)
        rows: TokenEmbeddings = run_job(self._token_job(texts, wanted), wanted.timeout, wanted.progress)
        return rows

    async def aembed_tokens(self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]) -> TokenEmbeddings:
        """Turn each token of each text into a vector; as embed_tokens."""
        wanted = TokenEmbedOptions.checked(**options)
        rows: TokenEmbeddings = await await_job(self._token_job(texts, wanted), wanted.timeout, wanted.progress)
        return rows

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: Progress = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query.

        Args:
            query: the question.
            documents: the candidates.
            top_n: return only the best so many; None returns all.
            truncate: what to do with a pair that is longer than the model takes; only documents are cut.
            progress: show a bar on stderr, or call a function of how many documents are done and how many there are.
            timeout: seconds after which the request is given up.

        Returns:
            the scores, best first: what the ranking head says, without a sigmoid.

        Raises:
            UnsupportedFeatureError: the model has no ranking head.
            InputTooLongError: a pair is too long and ``truncate`` is ``"error"``, or the query alone is.
            RequestTimeoutError: ``timeout`` passed.
        """
        job = self._rerank_job(query, documents, truncate)
        return best_first(run_job(job, timeout, progress), top_n)

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: Progress = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query; as rerank."""
        job = self._rerank_job(query, documents, truncate)
        return best_first(await await_job(job, timeout, progress), top_n)

    def _embed_job(
        self, texts: Sequence[str], options: EmbedOptions, first_index: int = 0, stream: int = 0
    ) -> RetrievalJob:
        return self._native.retriever().embed(
            texts,
            truncate=options.truncate,
            normalize=options.normalize,
            prefix=options.prefix,
            dimensions=options.dimensions or 0,
            first_index=first_index,
            stream=stream,
        )

    def _stream_submitter(self, options: EmbedStreamOptions) -> Callable[[list[Any], int], RetrievalJob]:
        stream = next(_stream_numbers)
        return lambda chunk, first_index: self._embed_job(chunk, options, first_index, stream)

    def _token_job(self, texts: Sequence[str], options: TokenEmbedOptions) -> RetrievalJob:
        return self._native.retriever().embed_tokens(
            texts,
            truncate=options.truncate,
            normalize=options.normalize,
            prefix=options.prefix,
            dimensions=options.dimensions or 0,
        )

    def _rerank_job(self, query: str, documents: Sequence[str], truncate: Truncate) -> RetrievalJob:
        # A model that was trained without sentence types says so in its catalog entry.
        known = self._entry.sentence_types if self._entry is not None else None
        return self._native.retriever().rerank(
            query, documents, truncate=truncate, sentence_types=True if known is None else known
        )
