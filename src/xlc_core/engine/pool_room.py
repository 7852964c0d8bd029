"""The memory of a pool of engines: which of them close so that another one fits."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from xlc_core.engine.shared import EngineLease
from xlc_core.errors import EngineClosedError, InsufficientMemoryError
from xlc_core.logger import logger
from xlc_core.options.engine import EngineOptions

__all__ = ["PoolRoom", "PooledEngine"]


def new_future() -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # a waiter that is cancelled does not cancel it for the others
    return future


@dataclass(eq=False)
class PooledEngine:
    """An engine of the pool, from the first request for it until it is closed.

    Attributes:
        options: how it is opened.
        n_users: leases on it, and requests that wait until it is open.
        size: bytes that it is expected to take; 0 until they are reserved.
        lease: the pool's own lease on it, once it is open.
        is_leaving: whether it is to be closed, so that it takes no further users.
        idle_since: when its last user left.
        opened: is done when it is open or has failed to open.
        closed: is done when it is closed.
    """

    options: EngineOptions
    n_users: int = 0
    size: int = 0
    lease: EngineLease | None = None
    is_leaving: bool = False
    idle_since: float = 0.0
    opened: Future[None] = field(default_factory=new_future)
    closed: Future[None] = field(default_factory=new_future)

    @property
    def is_idle(self) -> bool:
        """Whether it is open and nobody uses it."""
        return self.lease is not None and self.n_users == 0 and not self.is_leaving

    @property
    def was_closed(self) -> bool:
        """Whether somebody else has closed the engine."""
        return self.lease is not None and not self.is_leaving and self.lease.engine.closed


class PoolRoom:
    """The open engines of a pool, and the memory that they may take.

    Attributes:
        changed: lock for reading or changing the engines, and notified when one becomes idle or is closed.
        engines: by their options; the one that was used last stands at the end.
        is_closed: whether the pool is closed.
    """

    def __init__(self, budget: int, timeout: float) -> None:
        self.changed = threading.Condition()
        self.engines: dict[EngineOptions, PooledEngine] = {}
        self.is_closed = False
        self._budget = budget
        self._timeout = timeout
        self._making_room = threading.Lock()

    def reserve(self, opened: PooledEngine, size: int) -> None:
        """Reserve memory for an engine: close those that were not used for the longest time until it fits."""
        if size > self._budget:
            raise InsufficientMemoryError(
                f"model {str(opened.options.model)!r} needs {size >> 20} MiB and the pool may take "
                f"{self._budget >> 20} MiB; allow it more memory, or open the model with a smaller n_ctx or n_parallel"
            )
        if self._fits(opened, size):
            return
        end = time.monotonic() + self._timeout
        leaving: list[PooledEngine] = []
        with self._making_room:  # one after another, so that none takes the room that was made for another
            try:
                while (victim := self._next_victim(opened, size, end, leaving)) is not None:
                    self.shut(victim)
            finally:
                self._keep(leaving)

    def _fits(self, opened: PooledEngine, size: int) -> bool:
        """Reserve memory if it is there. Needs the lock, or takes it."""
        with self.changed:
            if sum(other.size for other in self.engines.values()) + size > self._budget:
                return False
            opened.size = size
            return True

    def claim_idle(self, leaving: list[PooledEngine]) -> PooledEngine | None:
        """Take the engine that was not used for the longest time; None if all are in use. The caller shuts it.

        Args:
            leaving: engines that were in use and take no further requests, for this caller.
        """
        with self.changed:
            for opened in self.engines.values():
                if opened.lease is not None and opened.n_users == 0 and (not opened.is_leaving or opened in leaving):
                    opened.is_leaving = True
                    return opened
            return None

    def _next_victim(
        self, opened: PooledEngine, size: int, end: float, leaving: list[PooledEngine]
    ) -> PooledEngine | None:
        """Return an engine to close, after waiting until one is idle; None once the new one fits."""
        with self.changed:
            while not self._fits(opened, size):
                if self.is_closed:
                    raise EngineClosedError("the pool of engines is closed")
                if (victim := self.claim_idle(leaving)) is not None:
                    if victim in leaving:
                        leaving.remove(victim)
                    return victim
                if time.monotonic() >= end:
                    raise InsufficientMemoryError(
                        f"model {str(opened.options.model)!r} needs {size >> 20} MiB, and the models in use did not "
                        f"leave room for it within {self._timeout:g} s; try again later, or allow more memory"
                    )
                self._ask_to_leave(size, leaving)
                self.changed.wait(max(0.0, end - time.monotonic()))
            return None

    def _ask_to_leave(self, size: int, leaving: list[PooledEngine]) -> None:
        """Let engines in use take no further requests, as many as the new one needs."""
        room = self._budget - sum(other.size for other in self.engines.values() if not other.is_leaving)
        for other in self.engines.values():
            if room < size and other.lease is not None and not other.is_leaving:
                other.is_leaving = True
                leaving.append(other)
                room += other.size

    def _keep(self, leaving: list[PooledEngine]) -> None:
        """Let engines take requests again that were asked to leave and did not have to."""
        with self.changed:
            waiting = [opened.closed for opened in leaving]
            for opened in leaving:
                opened.is_leaving = False
                opened.closed = new_future()
        for future in waiting:  # those who waited until it is closed look again
            future.set_result(None)

    def shut(self, opened: PooledEngine) -> None:
        """Close an engine that has no users and does not get new ones."""
        assert opened.lease is not None
        try:
            opened.lease.release()
        except Exception:
            logger.exception("closing a model failed")
        with self.changed:
            if self.engines.get(opened.options) is opened:
                del self.engines[opened.options]
            self.changed.notify_all()
        opened.closed.set_result(None)
