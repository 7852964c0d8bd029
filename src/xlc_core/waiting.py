"""Waiting for a native thread, from a Python thread or from an asyncio loop, without parking a thread for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from xlc_core.errors import RequestTimeoutError

__all__ = ["AsyncWaiter", "Deadline", "Waitable", "wait_ready"]


class Waitable(Protocol):
    """What the native classes for requests under way have in common."""

    def wait(self, timeout: float | None = None) -> bool:
        """Block without the GIL until there is something to take."""

    def arm(self) -> bool:
        """Ask for one call of the waker; False when there is something to take already."""

    def set_waker(self, waker: Callable[[], object] | None) -> None:
        """Set what a native thread calls."""

    def cancel(self) -> None:
        """Stop what is under way."""


class Deadline:
    """The moment at which a request's timeout has passed."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Seconds left, not below 0; None for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self, waitable: Waitable) -> None:
        """Do nothing while there is time.

        Raises:
            RequestTimeoutError: there is none left; the request is cancelled.
        """
        if self.remaining() == 0:
            waitable.cancel()
            raise RequestTimeoutError(
                f"the request was not done after its timeout of {self._timeout:g} s and was cancelled; "
                "allow more time or ask for fewer tokens"
            )


def wait_ready(waitable: Waitable, deadline: Deadline) -> None:
    """Block until there is something to take.

    Raises:
        RequestTimeoutError: the deadline passed; the request is cancelled.
        KeyboardInterrupt: Ctrl+C; the request is cancelled.
    """
    while not waitable.wait(deadline.remaining()):
        deadline.check(waitable)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    # A closed loop has nobody left to wake.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


class AsyncWaiter:
    """Waits for one Waitable from the running loop, without a thread."""

    def __init__(self, waitable: Waitable) -> None:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        # The waker must not hold the waitable, which holds the waker.
        waitable.set_waker(lambda: _wake(loop, event))
        self._waitable = waitable
        self._event = event

    async def wait(self, timeout: float | None) -> bool:
        """Suspend the task until there is something to take, or for ``timeout`` seconds; say whether there is.

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
        """Suspend the task until there is something to take.

        Raises:
            RequestTimeoutError: the deadline passed; the request is cancelled.
            asyncio.CancelledError: the task was cancelled; so is the request.
        """
        while not await self.wait(deadline.remaining()):
            deadline.check(self._waitable)
