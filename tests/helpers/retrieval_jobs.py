"""Sees the native jobs behind embedding and reranking, which count the texts that they have done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core._native import RetrievalJob

__all__ = ["assert_abandoned", "record_jobs"]


def record_jobs(monkeypatch: pytest.MonkeyPatch) -> list[RetrievalJob]:
    """Return a list that every job of every engine is added to when it is submitted."""
    jobs: list[RetrievalJob] = []

    def recording(submit: Callable[..., RetrievalJob]) -> Callable[..., RetrievalJob]:
        def submit_and_record(*args: Any, **kwargs: Any) -> RetrievalJob:
            jobs.append(submit(*args, **kwargs))
            return jobs[-1]

        return submit_and_record

    for name in ("_embed_job", "_token_job", "_rerank_job"):
        monkeypatch.setattr(xlc.Engine, name, recording(getattr(xlc.Engine, name)))
    return jobs


def assert_abandoned(jobs: Sequence[RetrievalJob], run_another: Callable[[], object]) -> None:
    """Check that the worker no longer works on jobs that were cancelled: jobs run in turns, and they get none.

    Args:
        jobs: the jobs that were cancelled.
        run_another: runs a short job to its end.
    """
    cancelled = tuple(jobs)
    run_another()  # a micro-batch that was under way may have ended meanwhile
    n_done = [job.n_done for job in cancelled]
    assert n_done[-1] < cancelled[-1].n_total
    for _ in range(3):
        run_another()
    assert [job.n_done for job in cancelled] == n_done
