"""Waiting for embedding and reranking, with a progress bar when asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from xlc_core import _native
from xlc_core.results import RerankScore
from xlc_core.waiting import AsyncWaiter, Deadline

__all__ = ["await_job", "best_first", "run_job"]

_BAR_INTERVAL = 0.1  # seconds between two looks at the progress


@contextlib.contextmanager
def _bar(job: _native.RetrievalJob, progress: bool) -> Iterator[Callable[[], None]]:
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


def run_job(job: _native.RetrievalJob, deadline: Deadline, progress: bool) -> Any:
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


async def await_job(job: _native.RetrievalJob, deadline: Deadline, progress: bool) -> Any:
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
