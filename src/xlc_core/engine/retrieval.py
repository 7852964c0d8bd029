"""The engine's methods for embedding and reranking."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from xlc_core._native import RetrievalJob
from xlc_core.engine.base import EngineBase
from xlc_core.generation.off_loop import is_long_list
from xlc_core.options.embedding_types import quantize_embeddings
from xlc_core.options.kwargs import EmbedKwargs, EmbedStreamKwargs, RerankKwargs, TokenEmbedKwargs
from xlc_core.options.retrieval import EmbedOptions, EmbedStreamOptions, RerankOptions, TokenEmbedOptions
from xlc_core.results import RerankScore
from xlc_core.retrieval.jobs import await_job, run_job
from xlc_core.retrieval.scores import best_first, sigmoid
from xlc_core.retrieval.splitting import Pieces, TextRoom, as_sequence, split_documents
from xlc_core.retrieval.streams import AsyncEmbeddingStream, EmbeddingStream
from xlc_core.texts import check_text

__all__ = ["RetrievalMethods"]

Embeddings = npt.NDArray[Any]
TokenEmbeddings = list[npt.NDArray[np.float32]]

_LONG_CONVERSION = 1_000_000
"""Converting this many numbers would block an event loop for too long."""

_stream_numbers = itertools.count(1)


class RetrievalMethods(EngineBase):
    """Engine's methods that run on its retrieval worker."""

    def embed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> Embeddings:
        """Return vectors of texts.

        All texts go to the worker at once, copied as UTF-8, and all vectors are in memory at the end: 4 bytes for each
        number of each text. For more texts than that, use embed_stream. Jobs of several callers run in turns.

        Args:
            texts: any number of texts, of any length and order: a list, an array, a column of a table, a generator…
            **options: fields of EmbedOptions: ``truncate``, ``normalize``, ``prompt_name``, ``prompt``, ``dimensions``,
                ``dtype``, ``progress``, ``timeout``…

        Returns:
            float32 array of shape (len(texts), dimensions), in the order of the texts: the worker's own memory, not a
            copy. Each vector has length 1 unless ``normalize`` is False. Another ``dtype`` makes an array of that.

        Raises:
            InputTooLongError: a text is too long and ``truncate`` is ``"error"``.
            InvalidRequestError: a text is not a string or cannot be encoded, or an option is wrong.
            UnsupportedFeatureError: the model cannot embed.
            RequestTimeoutError: ``timeout`` passed.
            InsufficientMemoryError: the vectors do not fit into memory.
            EngineClosedError: the engine is or was closed.
            EngineFailedError: llama.cpp failed.
        """
        wanted = EmbedOptions.checked(**options)
        texts = as_sequence(texts, "text")
        vectors = run_job(self._embed_job(texts, wanted), wanted.timeout, wanted.progress)
        return quantize_embeddings(vectors, wanted.dtype, ranges=wanted.int8_ranges)

    async def aembed(self, texts: Sequence[str], **options: Unpack[EmbedKwargs]) -> Embeddings:
        """Return vectors of texts; see embed."""
        wanted = EmbedOptions.checked(**options)
        texts = as_sequence(texts, "text")
        await self._awake()
        job = await _queued(lambda: self._embed_job(texts, wanted), texts)
        vectors = await await_job(job, wanted.timeout, wanted.progress)
        if wanted.dtype != "float32" and vectors.size > _LONG_CONVERSION:
            return await asyncio.to_thread(quantize_embeddings, vectors, wanted.dtype, ranges=wanted.int8_ranges)
        return quantize_embeddings(vectors, wanted.dtype, ranges=wanted.int8_ranges)

    def embed_stream(self, texts: Iterable[str], **options: Unpack[EmbedStreamKwargs]) -> EmbeddingStream:
        """Return vectors of any number of texts, one after another and in constant memory.

        Texts are read only a few chunks ahead of the vectors that were taken. An error, also one in the iterable, is
        raised after the vectors of all earlier chunks.

        Args:
            texts: the texts; a generator, a file's lines, a database cursor… An error names a text by its place in it.
            **options: fields of EmbedStreamOptions: those of embed, and ``chunk_size``.

        Returns:
            an iterator of arrays (dimensions,), which are views of their chunk's array; copy them if you keep only a
            few. ``chunks()`` returns arrays (n, dimensions) instead; ``close()`` ends it.

        Raises:
            XllamaError: the errors of embed.
        """
        wanted = EmbedStreamOptions.checked(**options)
        return EmbeddingStream(self._stream_submitter(wanted), wanted, texts)

    def aembed_stream(
        self, texts: Iterable[str] | AsyncIterable[str], **options: Unpack[EmbedStreamKwargs]
    ) -> AsyncEmbeddingStream:
        """Return vectors of any number of texts, for ``async for``; see embed_stream."""
        wanted = EmbedStreamOptions.checked(**options)
        return AsyncEmbeddingStream(self._stream_submitter(wanted), wanted, texts, self._awake)

    def embed_tokens(self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]) -> TokenEmbeddings:
        """Return a vector for each token of each text, for late interaction.

        Args:
            texts: any number of texts, of any length and order: a list, an array, a column of a table, a generator…
            **options: fields of TokenEmbedOptions.

        Returns:
            one float32 array of shape (tokens of the text, dimensions) per text, with special tokens and those of the
            prompt. All are views of one block of memory, which lives as long as any of them.

        Raises:
            XllamaError: the errors of embed.
        """
        wanted = TokenEmbedOptions.checked(**options)
        texts = as_sequence(texts, "text")
        rows: TokenEmbeddings = run_job(self._token_job(texts, wanted), wanted.timeout, wanted.progress)
        return rows

    async def aembed_tokens(self, texts: Sequence[str], **options: Unpack[TokenEmbedKwargs]) -> TokenEmbeddings:
        """Return a vector for each token of each text; see embed_tokens."""
        wanted = TokenEmbedOptions.checked(**options)
        texts = as_sequence(texts, "text")
        await self._awake()
        job = await _queued(lambda: self._token_job(texts, wanted), texts)
        rows: TokenEmbeddings = await await_job(job, wanted.timeout, wanted.progress)
        return rows

    def rerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankKwargs]) -> list[RerankScore]:
        """Score how well each document answers the query, with the model's ranking head.

        The model reads the query with each document, so the time grows with the tokens of all documents.

        Args:
            query: the question. It is never truncated.
            documents: the candidates: a list, an array, a column of a table, a generator…
            **options: fields of RerankOptions: ``top_n``, ``truncate``, ``instruction``, ``scores``…

        Returns:
            the scores, best first, each with the document's place. A raw score is the head's output: a logit, or
            llama.cpp's probability of yes for models like Qwen3-Reranker, which answer yes or no. ``scores="sigmoid"``
            turns a logit into a number from 0 to 1 and does not change a probability.

        Raises:
            UnsupportedFeatureError: the model has no ranking head, or does not take an instruction.
            InputTooLongError: a pair is too long and ``truncate`` is ``"error"``, or the query alone is too long.
            InvalidRequestError: a document is not a string or cannot be encoded, or an option is wrong.
            RequestTimeoutError: ``timeout`` passed.
            EngineClosedError: the engine is or was closed.
            EngineFailedError: llama.cpp failed.
        """
        wanted = RerankOptions.checked(**options)
        documents = as_sequence(documents, "document")
        pieces = self._pieces(query, documents, wanted)
        job = self._rerank_job(query, documents if pieces is None else pieces.texts, wanted)
        return self._ranking(run_job(job, wanted.timeout, wanted.progress), pieces, wanted)

    async def arerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankKwargs]) -> list[RerankScore]:
        """Score how well each document answers the query; see rerank."""
        wanted = RerankOptions.checked(**options)
        documents = as_sequence(documents, "document")
        await self._awake()
        pieces = None
        if wanted.truncate == "split":  # counts the tokens of every document
            pieces = await asyncio.to_thread(self._pieces, query, documents, wanted)
        texts = documents if pieces is None else pieces.texts
        job = await _queued(lambda: self._rerank_job(query, texts, wanted), texts)
        return self._ranking(await await_job(job, wanted.timeout, wanted.progress), pieces, wanted)

    def embedding_room(self, prompt: str = "") -> TextRoom:
        """Return how many tokens a text may have beside a prompt when it is embedded, and what counts them.

        Args:
            prompt: the text that is put before every text [none].

        Raises:
            InvalidRequestError: the prompt is not a text, or holds a lone surrogate.
        """
        retriever = self._native.retriever()
        n_around = len(self._native.tokenize(check_text(prompt, "the prompt"), True, False))
        room = max(1, retriever.limit - n_around)
        return TextRoom(room, lambda text: len(retriever.text_ends(text, room + 1, 0)))

    def _pieces(self, query: str, documents: Sequence[str], options: RerankOptions) -> Pieces | None:
        if options.truncate != "split":
            return None
        retriever = self._native.retriever()
        room = retriever.document_room(check_text(query, "the query"), options.instruction)
        return split_documents(
            documents, lambda text: len(retriever.text_ends(text, room + 1, 0)), room, options.overlap
        )

    def _ranking(
        self, scores: npt.NDArray[np.float32], pieces: Pieces | None, options: RerankOptions
    ) -> list[RerankScore]:
        if pieces is not None:
            scores = pieces.best(scores)
        if options.scores == "sigmoid" and not self._native.retriever().scores_are_probabilities:
            scores = sigmoid(scores)
        return best_first(scores, options)

    def _embed_job(
        self, texts: Sequence[str], options: EmbedOptions, first_index: int = 0, stream: int = 0
    ) -> RetrievalJob:
        return self._native.retriever().embed(
            texts,
            truncate=options.truncate,
            normalize=options.normalize,
            prefix=self._prompt(options),
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
            prefix=self._prompt(options),
            dimensions=options.dimensions or 0,
        )

    def _rerank_job(self, query: str, documents: Sequence[str], options: RerankOptions) -> RetrievalJob:
        return self._native.retriever().rerank(
            check_text(query, "the query"),
            documents,
            # Beside other text a piece may have one token more than alone.
            truncate="end" if options.truncate == "split" else options.truncate,
            instruction=options.instruction,
            sentence_types=self._has_sentence_types,
        )

    def _prompt(self, options: TokenEmbedOptions) -> str:
        if options.prompt is not None:
            return options.prompt
        return {None: "", "query": self.info.query_prompt, "document": self.info.document_prompt}[options.prompt_name]


async def _queued(submit: Callable[[], RetrievalJob], texts: Sequence[str]) -> RetrievalJob:
    """Encode and queue texts; many or long ones on a helper thread."""
    if not hasattr(texts, "__len__") or not is_long_list(texts):
        return submit()
    submitted = asyncio.get_running_loop().run_in_executor(None, submit)
    try:
        return await asyncio.shield(submitted)
    except asyncio.CancelledError:
        submitted.add_done_callback(_cancel)
        raise


def _cancel(submitted: asyncio.Future[RetrievalJob]) -> None:
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().cancel()
