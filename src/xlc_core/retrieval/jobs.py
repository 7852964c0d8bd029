"""Waiting for a job of the retrieval worker, and reporting its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import Self

from xlc_core._native import RetrievalJob
from xlc_core.options.retrieval import Progress
from xlc_core.terminal import new_bar
from xlc_core.waiting import AsyncWaiter, Deadline

__all__ = ["ProgressReport", "await_done", "await_job", "run_job", "wait_done"]

_INTERVAL = 0.1  # seconds between two reports


class ProgressReport:
    """Reports progress to a bar on stderr, to a function, or nowhere."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._total = total
        self._function = progress if callable(progress) else None
        self._bar = new_bar(total=total, unit="text") if progress is True else None
        self._last = -1

    def update(self, n_done: int) -> None:
        """Report the number if it has changed."""
        if n_done == self._last:
            return
        self._last = n_done
        if self._bar is not None:
            self._bar.update(n_done - self._bar.n)
        if self._function is not None:
            self._function(n_done, self._total)

    def next_wait(self, deadline: Deadline) -> float | None:
        """Return the seconds until the next report or the deadline; None for no limit."""
        remaining = deadline.remaining()
        if self._bar is None and self._function is None:
            return remaining
        return _INTERVAL if remaining is None else min(remaining, _INTERVAL)

    def close(self) -> None:
        """Stop updating the bar."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_done(job: RetrievalJob, deadline: Deadline, report: ProgressReport, n_done: Callable[[], int]) -> None:
    """Block until the job is over, and report the numbers that ``n_done`` returns.

    Any exception cancels the job.

    Raises:
        RequestTimeoutError: the deadline passed.
        KeyboardInterrupt: Ctrl+C.
    """
    try:
        while not job.wait(report.next_wait(deadline)):
            deadline.check(job)
            report.update(n_done())
        report.update(n_done())
    except BaseException:
        job.cancel()
        raise


async def await_done(job: RetrievalJob, deadline: Deadline, report: ProgressReport, n_done: Callable[[], int]) -> None:
    """Suspend the task until the job is over; see wait_done. Cancelling the task cancels the job."""
    waiter = AsyncWaiter(job)
    try:
        while not await waiter.wait(report.next_wait(deadline)):
            deadline.check(job)
            report.update(n_done())
        report.update(n_done())
    except BaseException:
        job.cancel()
        raise


def run_job(job: RetrievalJob, timeout: float | None, progress: Progress) -> Any:
    """Block until the job is done and return its result. Raises the errors of wait_done and of the job."""
    with ProgressReport(progress, job.n_total) as report:
        wait_done(job, Deadline(timeout), report, lambda: job.n_done)
    return job.result()


async def await_job(job: RetrievalJob, timeout: float | None, progress: Progress) -> Any:
    """Suspend the task until the job is done and return its result; see run_job."""
    with ProgressReport(progress, job.n_total) as report:
        await await_done(job, Deadline(timeout), report, lambda: job.n_done)
    return job.result()
