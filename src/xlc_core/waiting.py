"""Waiting for a native thread, from a Python thread or from an asyncio loop. A loop does not need a thread for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from xlc_core.errors import RequestTimeoutError

__all__ = ["AsyncWaiter", "Deadline", "Waitable", "wait_ready"]


class Waitable(Protocol):
    """The common methods of the native classes for running requests."""

    def wait(self, timeout: float | None = None) -> bool:
        """Block without the GIL until something is available. Return False after ``timeout`` seconds."""

    def arm(self) -> bool:
        """Ask for one call of the waker. Return False if something is already available."""

    def set_waker(self, waker: Callable[[], object] | None) -> None:
        """Set the callable that a native thread calls."""

    def cancel(self) -> None:
        """Stop the work."""


class Deadline:
    """The moment at which a request's timeout has passed."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Return the seconds left, not below 0; None for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self, waitable: Waitable | None = None) -> None:
        """Raise an error when the time is over.

        Args:
            waitable: the request, if it is queued already.

        Raises:
            RequestTimeoutError: the time is over; ``waitable`` is cancelled.
        """
        if self.remaining() == 0:
            if waitable is not None:
                waitable.cancel()
            raise RequestTimeoutError(
                f"the request was not done after its timeout of {self._timeout:g} s and was cancelled; "
                "allow more time or ask for fewer tokens"
            )


def wait_ready(waitable: Waitable, deadline: Deadline) -> None:
    """Block until something is available.

    Raises:
        RequestTimeoutError: the deadline passed; the request is cancelled.
        KeyboardInterrupt: Ctrl+C; the request is cancelled.
    """
    while not waitable.wait(deadline.remaining()):
        deadline.check(waitable)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    # A closed loop raises RuntimeError, but nobody waits on it any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


class AsyncWaiter:
    """Waits for one Waitable from the running loop, without a thread."""

    def __init__(self, waitable: Waitable) -> None:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        # The waitable holds the waker, so the waker must not hold the waitable: that would be a cycle.
        waitable.set_waker(lambda: _wake(loop, event))
        self._waitable = waitable
        self._event = event

    async def wait(self, timeout: float | None) -> bool:
        """Suspend the task until something is available, or for ``timeout`` seconds. Return whether it is.

        Raises:
            asyncio.CancelledError: the task was cancelled; so is the request.
        """
        self._event.clear()
        if not self._waitable.arm():
            return True
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        except BaseException:
            self._waitable.cancel()
            raise
        return True

    async def ready(self, deadline: Deadline) -> None:
        """Suspend the task until something is available.

        Raises:
            RequestTimeoutError: the deadline passed; the request is cancelled.
            asyncio.CancelledError: the task was cancelled; so is the request.
        """
        while not await self.wait(deadline.remaining()):
            deadline.check(self._waitable)
