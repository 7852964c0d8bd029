"""Waiting for a state that has no event, without a clock: polls are counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import xlc_core as xlc

__all__ = ["N_POLLS", "WorkCounter", "await_until", "is_idle", "wait_until"]

N_POLLS = 3000
"""Polls after which waiting gives up, half a minute on a quiet machine. No test passes or fails by how long it took."""

_PAUSE = 0.01


def wait_until(condition: Callable[[], object], n_polls: int = N_POLLS) -> bool:
    """Poll until a condition holds; return whether it does."""
    pause = threading.Event()
    for _ in range(n_polls):
        if condition():
            return True
        pause.wait(_PAUSE)
    return bool(condition())


async def await_until(condition: Callable[[], object], n_polls: int = N_POLLS) -> bool:
    """Poll until a condition holds, and let the event loop run meanwhile; return whether it does."""
    for _ in range(n_polls):
        if condition():
            return True
        await asyncio.sleep(_PAUSE)
    return bool(condition())


def is_idle(engine: xlc.Engine) -> bool:
    """Return whether no request runs or waits."""
    metrics = engine.metrics()
    return metrics.requests_running == metrics.requests_waiting == 0


class WorkCounter:
    """Counts the tokens that an engine computes from here on, those of cancelled requests included."""

    def __init__(self, engine: xlc.Engine) -> None:
        assert wait_until(lambda: is_idle(engine)), "another request still runs"
        self._engine = engine
        self._before = engine.metrics()

    def prompt_tokens(self) -> int:
        """Return the prompt tokens processed since, when the engine is idle again."""
        assert wait_until(lambda: is_idle(self._engine))
        return self._engine.metrics().prompt_tokens - self._before.prompt_tokens

    def generation_tokens(self) -> int:
        """Return the tokens generated since, when the engine is idle again."""
        assert wait_until(lambda: is_idle(self._engine))
        return self._engine.metrics().generation_tokens - self._before.generation_tokens
