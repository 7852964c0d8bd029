"""The engine's methods for embedding and reranking, and how they wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import RetrievalJob
from xlc_core.catalog import CatalogEntry
from xlc_core.options import Truncate
from xlc_core.results import RerankScore
from xlc_core.waiting import AsyncWaiter, Deadline

__all__ = ["RetrievalMethods", "best_first"]

Embeddings = npt.NDArray[np.float32]

_BAR_INTERVAL = 0.1  # seconds between two looks at the progress


@contextlib.contextmanager
def _bar(job: RetrievalJob, progress: bool) -> Iterator[Callable[[], None]]:
    with tqdm(total=job.n_total, unit="text", disable=not progress) as bar:

        def update() -> None:
            bar.update(job.n_done - bar.n)

        yield update


def _slice(deadline: Deadline, progress: bool) -> float | None:
    """Seconds until there is something to do: move the bar, or give up."""
    remaining = deadline.remaining()
    if not progress:
        return remaining
    return _BAR_INTERVAL if remaining is None else min(remaining, _BAR_INTERVAL)


def _run_job(job: RetrievalJob, deadline: Deadline, progress: bool) -> Any:
    """Block until the job is done and return its result.

    Raises:
        RequestTimeoutError: the deadline passed; the job is cancelled.
        KeyboardInterrupt: Ctrl+C; the job is cancelled.
    """
    with _bar(job, progress) as update:
        while not job.wait(_slice(deadline, progress)):
            deadline.check(job)
            update()
        update()
    return job.result()


async def _await_job(job: RetrievalJob, deadline: Deadline, progress: bool) -> Any:
    """Suspend the task until the job is done and return its result; cancelling the task cancels the job."""
    waiter = AsyncWaiter(job)
    with _bar(job, progress) as update:
        while not await waiter.wait(_slice(deadline, progress)):
            deadline.check(job)
            update()
        update()
    return job.result()


def best_first(scores: np.ndarray[Any, np.dtype[np.float32]], top_n: int | None) -> list[RerankScore]:
    """Order documents by score, best first; equal scores keep their order."""
    order = np.argsort(-scores, kind="stable")[:top_n]
    return [RerankScore(int(index), float(scores[index])) for index in order]


class RetrievalMethods:
    """What Engine does on its retrieval worker."""

    _native: NativeEngine
    _entry: CatalogEntry | None

    def embed(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        dimensions: int | None = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors.

        Args:
            texts: any number of texts, of any length and order.
            truncate: what to do with a text that is longer than the model takes.
            normalize: scale each vector to length 1.
            prefix: put before every text, for models that tell queries from documents.
            dimensions: keep this many leading numbers, for models trained so (Matryoshka); None keeps all.
            progress: show a bar on stderr.
            timeout: seconds after which the request is given up.

        Returns:
            float32 array of shape (len(texts), dimensions), in the order of the texts; its memory was written once.

        Raises:
            InputTooLongError: a text is too long and ``truncate`` is ``"error"``.
            InvalidRequestError: a text is no string, or holds what no tokenizer can read.
            UnsupportedFeatureError: the model gives no embeddings.
            RequestTimeoutError: ``timeout`` passed.
        """
        job = self._embed_job(texts, truncate, normalize, prefix, dimensions)
        result: Embeddings = _run_job(job, Deadline(timeout), progress)
        return result

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        dimensions: int | None = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors; as embed."""
        job = self._embed_job(texts, truncate, normalize, prefix, dimensions)
        result: Embeddings = await _await_job(job, Deadline(timeout), progress)
        return result

    def embed_tokens(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[Embeddings]:
        """Turn each token of each text into a vector, for late interaction.

        Args and errors are those of embed.

        Returns:
            one float32 array of shape (tokens of the text, dimensions of the model) per text.
        """
        job = self._native.retriever().embed_tokens(texts, truncate=truncate, normalize=normalize, prefix=prefix)
        result: list[Embeddings] = _run_job(job, Deadline(timeout), progress)
        return result

    async def aembed_tokens(
        self,
        texts: Sequence[str],
        *,
        truncate: Truncate = "error",
        normalize: bool = True,
        prefix: str = "",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[Embeddings]:
        """Turn each token of each text into a vector; as embed_tokens."""
        job = self._native.retriever().embed_tokens(texts, truncate=truncate, normalize=normalize, prefix=prefix)
        result: list[Embeddings] = await _await_job(job, Deadline(timeout), progress)
        return result

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query.

        Args:
            query: the question.
            documents: the candidates.
            top_n: return only the best so many; None returns all.
            truncate: what to do with a pair that is longer than the model takes; only documents are cut.
            progress: show a bar on stderr.
            timeout: seconds after which the request is given up.

        Returns:
            the scores, best first: what the ranking head says, without a sigmoid.

        Raises:
            UnsupportedFeatureError: the model has no ranking head.
            InputTooLongError: a pair is too long and ``truncate`` is ``"error"``, or the query alone is.
            RequestTimeoutError: ``timeout`` passed.
        """
        job = self._rerank_job(query, documents, truncate)
        return best_first(_run_job(job, Deadline(timeout), progress), top_n)

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: Truncate = "error",
        progress: bool = False,
        timeout: float | None = None,
    ) -> list[RerankScore]:
        """Score how well each document answers the query; as rerank."""
        job = self._rerank_job(query, documents, truncate)
        return best_first(await _await_job(job, Deadline(timeout), progress), top_n)

    def _embed_job(
        self, texts: Sequence[str], truncate: Truncate, normalize: bool, prefix: str, dimensions: int | None
    ) -> RetrievalJob:
        return self._native.retriever().embed(
            texts, truncate=truncate, normalize=normalize, prefix=prefix, dimensions=dimensions or 0
        )

    def _rerank_job(self, query: str, documents: Sequence[str], truncate: Truncate) -> RetrievalJob:
        # A model that was trained without sentence types says so in its catalog entry.
        known = self._entry.sentence_types if self._entry is not None else None
        return self._native.retriever().rerank(
            query, documents, truncate=truncate, sentence_types=True if known is None else known
        )
