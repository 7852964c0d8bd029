"""Waiting for a job of the retrieval worker, and telling how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm import tqdm
from typing_extensions import Self

from xlc_core._native import RetrievalJob
from xlc_core.options.retrieval import Progress
from xlc_core.waiting import AsyncWaiter, Deadline

__all__ = ["ProgressReport", "await_done", "await_job", "run_job", "wait_done"]

_INTERVAL = 0.1  # seconds between two reports


class ProgressReport:
    """Where progress goes: a bar on stderr, a function, or nowhere."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._total = total
        self._function = progress if callable(progress) else None
        self._bar = tqdm(total=total, unit="text") if progress is True else None
        self._last = -1

    def update(self, n_done: int) -> None:
        """Report when the number is another than the last one."""
        if n_done == self._last:
            return
        self._last = n_done
        if self._bar is not None:
            self._bar.update(n_done - self._bar.n)
        if self._function is not None:
            self._function(n_done, self._total)

    def patience(self, deadline: Deadline) -> float | None:
        """Seconds until there is something to do: report, or give up."""
        remaining = deadline.remaining()
        if self._bar is None and self._function is None:
            return remaining
        return _INTERVAL if remaining is None else min(remaining, _INTERVAL)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_done(job: RetrievalJob, deadline: Deadline, report: ProgressReport, n_done: Callable[[], int]) -> None:
    """Block until the job is over, reporting what ``n_done`` says.

    Raises:
        RequestTimeoutError: the deadline passed; the job is cancelled, as by whatever else is raised.
        KeyboardInterrupt: Ctrl+C.
    """
    try:
        while not job.wait(report.patience(deadline)):
            deadline.check(job)
            report.update(n_done())
        report.update(n_done())
    except BaseException:
        job.cancel()
        raise


async def await_done(job: RetrievalJob, deadline: Deadline, report: ProgressReport, n_done: Callable[[], int]) -> None:
    """Suspend the task until the job is over; as wait_done. Cancelling the task cancels the job."""
    waiter = AsyncWaiter(job)
    try:
        while not await waiter.wait(report.patience(deadline)):
            deadline.check(job)
            report.update(n_done())
        report.update(n_done())
    except BaseException:
        job.cancel()
        raise


def run_job(job: RetrievalJob, timeout: float | None, progress: Progress) -> Any:
    """Block until the job is done and return its result; errors are those of wait_done and the job's own."""
    with ProgressReport(progress, job.n_total) as report:
        wait_done(job, Deadline(timeout), report, lambda: job.n_done)
    return job.result()


async def await_job(job: RetrievalJob, timeout: float | None, progress: Progress) -> Any:
    """Suspend the task until the job is done and return its result; as run_job."""
    with ProgressReport(progress, job.n_total) as report:
        await await_done(job, Deadline(timeout), report, lambda: job.n_done)
    return job.result()
