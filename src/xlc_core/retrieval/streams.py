"""Embedding an iterable of any length in constant memory: the worker has only a few chunks of it at any time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from xlc_core._native import RetrievalJob
from xlc_core.errors import InvalidRequestError, RequestCancelledError
from xlc_core.options.embedding_types import quantize_embeddings
from xlc_core.options.retrieval import EmbedStreamOptions
from xlc_core.retrieval.jobs import ProgressReport, await_done, wait_done
from xlc_core.waiting import Deadline

__all__ = ["AsyncEmbeddingStream", "EmbeddingStream"]

Vectors = npt.NDArray[Any]
Submit = Callable[[list[Any], int], RetrievalJob]
"""Starts embedding some texts; the number is the first text's place in the stream."""

_CHUNKS_IN_FLIGHT = 3
"""One that the model works on, one that waits for the model, and one that is done but not taken yet."""
_FIRST_CHUNK = 16
_CHUNK_CHARACTERS = 1 << 20
"""A chunk ends with the text that makes it this long."""

_NOTHING = np.empty((0, 0), dtype=np.float32)


class _Chunks:
    """The chunks of a stream, between the source of texts and the caller who takes the vectors.

    A failure, also one of the source, is raised when its chunk's turn comes, so that the caller gets all vectors before
    it.
    """

    def __init__(self, submit: Submit, options: EmbedStreamOptions, total: int | None) -> None:
        self.options = options
        self.report = ProgressReport(options.progress, total)
        self.closed = False
        self._submit = submit
        self._pending: list[Any] = []
        self._n_characters = 0
        self._size = min(_FIRST_CHUNK, options.chunk_size)
        self._in_flight: deque[RetrievalJob | Exception] = deque()
        self._n_submitted = 0
        self._n_taken = 0
        self._exhausted = False
        self._lock = threading.Lock()  # guards closed and the jobs that close() cancels

    def wants_text(self) -> bool:
        """Return whether to add a text now instead of waiting for the oldest chunk."""
        if self.closed or self._exhausted or len(self._in_flight) >= _CHUNKS_IN_FLIGHT:
            return False
        oldest = self._in_flight[0] if self._in_flight else None
        # With a slow source, finished vectors must not wait until other chunks are full.
        return oldest is None or not (isinstance(oldest, Exception) or oldest.wait(0))

    def add(self, text: Any) -> None:
        """Add the next text, and submit the chunk if it is full."""
        self._pending.append(text)
        self._n_characters += len(text) if isinstance(text, str) else 0
        if len(self._pending) >= self._size or self._n_characters >= _CHUNK_CHARACTERS:
            self._submit_pending()

    def end(self, failure: Exception | None = None) -> None:
        """Record that the source has ended, and the error if it failed."""
        self._submit_pending()
        if failure is not None:
            self._in_flight.append(failure)
        self._exhausted = True

    def oldest(self) -> RetrievalJob | None:
        """Return the chunk to wait for; None at the end and after close().

        Raises:
            Exception: the source failed here, or the chunk could not be submitted.
        """
        if self.closed:
            return None
        if len(self._in_flight) < 2:
            self._submit_pending()  # otherwise the worker would be idle while the caller uses the vectors
        if not self._in_flight:
            return None
        oldest = self._in_flight[0]
        if isinstance(oldest, Exception):
            raise oldest
        return oldest

    def n_done(self) -> int:
        """Return the number of texts that have gone through the model."""
        return self._n_taken + sum(job.n_done for job in self._in_flight if not isinstance(job, Exception))

    def take(self) -> Vectors:
        """Return the vectors of the oldest chunk, which must be over.

        Raises:
            XllamaError: the chunk failed.
        """
        job = self._in_flight[0]
        assert not isinstance(job, Exception)
        vectors: Any = job.result()
        self._in_flight.popleft()
        self._n_taken += len(vectors)
        return quantize_embeddings(vectors, self.options.dtype, ranges=self.options.int8_ranges)

    def deadline(self) -> Deadline:
        """Return the deadline for the chunk to wait for."""
        return Deadline(self.options.timeout)

    def close(self) -> None:
        """Cancel all chunks. Idempotent, from any thread."""
        with self._lock:
            self.closed = True
            for job in list(self._in_flight):
                if not isinstance(job, Exception):
                    job.cancel()
            self._pending.clear()
        self.report.close()

    def _submit_pending(self) -> None:
        if not self._pending:
            return
        texts, self._pending, self._n_characters = self._pending, [], 0
        chunk: RetrievalJob | Exception
        try:
            chunk = self._submit(texts, self._n_submitted)
        except Exception as error:
            chunk = error
            self._exhausted = True  # the stream ends with an error
        with self._lock:
            self._in_flight.append(chunk)
            if self.closed and not isinstance(chunk, Exception):
                chunk.cancel()
        self._n_submitted += len(texts)
        self._size = min(2 * self._size, self.options.chunk_size)


def _checked(texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InvalidRequestError(
            f"texts must be an iterable of str, such as a list or a generator, not one {type(texts).__name__}"
        )
    return texts


class EmbeddingStream:
    """The vectors of an iterable of texts, one by one and in its order; ``chunks()`` returns arrays of several.

    At most three chunks of texts are read ahead of the vectors that were taken; EmbedStreamOptions say how large they
    are. Closing or deleting the stream, leaving its ``with`` block, Ctrl+C and a timeout end it and free the worker.

    Waiting for a vector raises the errors of Engine.embed, and what the iterable raises, after all vectors before.
    """

    def __init__(self, submit: Submit, options: EmbedStreamOptions, texts: Iterable[str]) -> None:
        self._source = iter(_checked(texts))
        self._chunks = _Chunks(submit, options, len(texts) if isinstance(texts, Sized) else None)
        self._rows: Vectors = _NOTHING
        self._n_rows_taken = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Vectors:
        if self._chunks.closed:
            raise StopIteration
        if self._n_rows_taken == len(self._rows):
            self._rows = _NOTHING  # frees the last chunk's memory before the next chunk needs some
            self._rows, self._n_rows_taken = self._next_chunk(), 0
        self._n_rows_taken += 1
        row: Vectors = self._rows[self._n_rows_taken - 1]
        return row

    def chunks(self) -> Iterator[Vectors]:
        """Yield the remaining vectors as arrays (n, dimensions) of type ``dtype``, one for each chunk of texts."""
        while not self._chunks.closed:
            rows, self._rows = self._rows[self._n_rows_taken :], _NOTHING
            self._n_rows_taken = 0
            try:
                yield rows if len(rows) else self._next_chunk()
            except StopIteration:
                return

    def close(self) -> None:
        """End the stream. Idempotent, from any thread."""
        self._chunks.close()

    def _next_chunk(self) -> Vectors:
        chunks = self._chunks
        try:
            while chunks.wants_text():
                self._read()
            job = chunks.oldest()
            if job is None:
                raise StopIteration
            wait_done(job, chunks.deadline(), chunks.report, chunks.n_done)
            return chunks.take()
        except BaseException as error:
            was_closed = chunks.closed
            chunks.close()
            if was_closed and isinstance(error, RequestCancelledError):
                raise StopIteration from None
            raise

    def _read(self) -> None:
        try:
            text = next(self._source)
        except StopIteration:
            self._chunks.end()
        except Exception as error:
            self._chunks.end(error)
        else:
            self._chunks.add(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_chunks"):
            self._chunks.close()


class AsyncEmbeddingStream:
    """The vectors of an iterable or async iterable of texts, for ``async for``; see EmbeddingStream.

    Cancelling the waiting task also ends the stream.
    """

    def __init__(
        self,
        submit: Submit,
        options: EmbedStreamOptions,
        texts: Iterable[str] | AsyncIterable[str],
        wake: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._wake = wake
        self._source = aiter(texts) if isinstance(texts, AsyncIterable) else iter(_checked(texts))
        self._chunks = _Chunks(submit, options, len(texts) if isinstance(texts, Sized) else None)
        self._rows: Vectors = _NOTHING
        self._n_rows_taken = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Vectors:
        if self._chunks.closed:
            raise StopAsyncIteration
        if self._n_rows_taken == len(self._rows):
            self._rows = _NOTHING
            self._rows, self._n_rows_taken = await self._next_chunk(), 0
        self._n_rows_taken += 1
        row: Vectors = self._rows[self._n_rows_taken - 1]
        return row

    async def chunks(self) -> AsyncIterator[Vectors]:
        """Yield the remaining vectors as arrays (n, dimensions) of type ``dtype``, one for each chunk of texts."""
        while not self._chunks.closed:
            rows, self._rows = self._rows[self._n_rows_taken :], _NOTHING
            self._n_rows_taken = 0
            try:
                yield rows if len(rows) else await self._next_chunk()
            except StopAsyncIteration:
                return

    async def aclose(self) -> None:
        """End the stream. Idempotent."""
        self._chunks.close()

    async def _next_chunk(self) -> Vectors:
        chunks = self._chunks
        try:
            if self._wake is not None:
                await self._wake()
            while chunks.wants_text():
                await self._read()
            job = chunks.oldest()
            if job is None:
                raise StopAsyncIteration
            await await_done(job, chunks.deadline(), chunks.report, chunks.n_done)
            return chunks.take()
        except BaseException as error:
            was_closed = chunks.closed
            chunks.close()
            if was_closed and isinstance(error, RequestCancelledError):
                raise StopAsyncIteration from None
            raise

    async def _read(self) -> None:
        try:
            text = next(self._source) if isinstance(self._source, Iterator) else await anext(self._source)
        except (StopIteration, StopAsyncIteration):
            self._chunks.end()
        except Exception as error:
            self._chunks.end(error)
        else:
            self._chunks.add(text)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_chunks"):
            self._chunks.close()
