"""A pool of engines: models open by name when they are needed, and close when their memory is needed for others."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType

from typing_extensions import Self, Unpack

from xlc_core.engine.engine import Engine
from xlc_core.engine.pool_models import OtherModels, PoolModels, PoolNames
from xlc_core.engine.pool_room import PooledEngine, PoolRoom
from xlc_core.engine.shared import EngineLease, acquire_engine
from xlc_core.errors import EngineClosedError, InsufficientMemoryError, InvalidRequestError
from xlc_core.options.durations import keep_alive_seconds
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import EngineKwargs

__all__ = ["EnginePool", "PoolLease"]


class PoolLease:
    """The right to use an engine of a pool, which does not close meanwhile.

    Attributes:
        engine: the engine. Leave closing it to the pool.
    """

    def __init__(self, pool: EnginePool, opened: PooledEngine, engine: Engine) -> None:
        self.engine = engine
        self._pool = pool
        self._opened: PooledEngine | None = opened

    def release(self) -> None:
        """Release the engine. Idempotent; does not wait for anything."""
        opened, self._opened = self._opened, None
        if opened is not None:
            self._pool._give_back(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        # The garbage collector may run while this thread changes the pool, so another thread does it.
        opened, self._opened = self._opened, None
        if opened is not None and not sys.is_finalizing():
            with contextlib.suppress(RuntimeError):  # the interpreter is ending and closes all engines
                threading.Thread(target=self._pool._give_back, args=(opened,), daemon=True).start()


class EnginePool:
    """Engines that open by name when they are needed, within a budget of memory.

    Requests for one model share its engine, with all callers of acquire_engine. Requests that come while it opens wait
    for it, and it opens once. If a model does not fit into the budget, those that were not used for the longest time
    close first. An engine that is in use never closes: with a budget, one that has to make room takes no further
    requests, and closes after those that it has. If a model fails to open, only the requests that wait for it fail, and
    the next one tries again.

    Every method may be called from any thread and any event loop. A pool belongs to the process that made it.
    """

    def __init__(
        self,
        models: PoolNames = (),
        *,
        memory: int | None = None,
        keep_alive: float | str | timedelta = -1,
        others: OtherModels = "any",
        room_timeout: float = 60.0,
        **options: Unpack[EngineKwargs],
    ) -> None:
        """Name the models. Nothing is opened before it is needed.

        Args:
            models: names and what they open: a mapping of names to a model, its EngineOptions or their fields; a list
                of models that are called by their own names; or a TOML file with a table for each name, whose keys are
                fields of EngineOptions. A ``model`` there that starts with ``./`` is relative to the file. ``options``
                do not change EngineOptions that are given here.
            memory: bytes that all engines may take together, by ``Engine.estimate``; None: what the system has. Then an
                engine in use is never asked to make room.
            keep_alive: seconds that an engine stays open without use, or a text such as ``"5m"``; 0: not at all; below
                0: until its memory is needed.
            others: the further models that may be opened by their own names: ``"any"``, also paths and the hub's;
                ``"local"``: those of the catalog that are on this disk; ``"none"``.
            room_timeout: seconds that opening a model may wait for engines in use to make room; only with ``memory``.
            **options: fields of EngineOptions for every model; those of a model override them.

        Raises:
            InvalidRequestError: an option is wrong, or the file cannot be read.
        """
        try:
            self._keep_alive = keep_alive_seconds(keep_alive)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from None
        self._models = PoolModels(models, others, options)
        self._has_budget = memory is not None
        self._room = PoolRoom(memory or 0, room_timeout)
        self._watcher: threading.Thread | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of the models that were given, then the catalog's that may be opened and are on this disk.

        Reads the catalog.
        """
        return self._models.names()

    @property
    def default(self) -> str | None:
        """The name of the first model that was given; None if no models were given."""
        return next(iter(self._models.named), None)

    def options(self, name: str) -> EngineOptions:
        """Return the options with which a model is opened.

        Args:
            name: the model's name, as for acquire.

        Raises:
            ModelNotFoundError: the pool may not open it.
        """
        return self._models.find(name)

    def opened(self, name: str) -> Engine | None:
        """Return a model's engine if it is open now, else None. It may close at any time: to use it, acquire it.

        Args:
            name: the model's name, as for acquire.
        """
        options = self._models.known(name)
        with self._room.changed:
            found = self._room.engines.get(options) if options is not None else None
            return found.lease.engine if found is not None and found.lease is not None else None

    def acquire(self, name: str) -> PoolLease:
        """Return a lease on a model's engine; open it first if necessary.

        Blocks while the model is fetched, waits for room, and is loaded; a moment if it is open.

        Args:
            name: one of ``names()``, or another model as ``others`` allows.

        Raises:
            ModelNotFoundError: the pool may not open it, or it does not exist.
            InsufficientMemoryError: it does not fit, or there was no room for it in time.
            EngineClosedError: the pool is closed.
            XllamaError: the other errors of Engine.
        """
        options = self._models.find(name)
        while True:
            opened, waits_for = self._enter(options)
            if waits_for is opened.closed:
                waits_for.result()
                continue
            with self._left_on_error(opened):
                waits_for.result()
                return self._lease(opened)

    async def aacquire(self, name: str) -> PoolLease:
        """Return a lease on a model's engine without blocking the event loop; see acquire."""
        options = self._models.known(name)
        if options is None:
            options = await asyncio.to_thread(self._models.find, name)
        while True:
            opened, waits_for = self._enter(options)
            if waits_for is opened.closed:
                await asyncio.wrap_future(waits_for)
                continue
            with self._left_on_error(opened):
                if not waits_for.done():
                    await asyncio.wrap_future(waits_for)
                waits_for.result()
                return self._lease(opened)

    def close(self) -> None:
        """Close all engines: those in use when their last lease is released. Idempotent.

        Waits until those without leases are closed. Later calls of acquire raise EngineClosedError.
        """
        with self._room.changed:
            self._room.is_closed = True
            idle = [opened for opened in self._room.engines.values() if opened.is_idle]
            for opened in idle:
                opened.is_leaving = True
            self._room.changed.notify_all()
        for opened in idle:
            self._room.shut(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Users

    def _enter(self, options: EngineOptions) -> tuple[PooledEngine, Future[None]]:
        """Count a further user of an engine, and return what it waits for: ``opened``, or ``closed`` to try again."""
        with self._room.changed:
            if self._room.is_closed:
                raise EngineClosedError("the pool of engines is closed")
            opened = self._room.engines.pop(options, None)
            if opened is not None and opened.was_closed:
                opened = None
            if opened is None:
                opened = PooledEngine(options)
                threading.Thread(target=self._open, args=(opened,), name="xllama-open", daemon=True).start()
            self._room.engines[options] = opened
            if opened.is_leaving:
                return opened, opened.closed
            opened.n_users += 1
            return opened, opened.opened

    @contextlib.contextmanager
    def _left_on_error(self, opened: PooledEngine) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._give_back(opened)
            raise

    def _lease(self, opened: PooledEngine) -> PoolLease:
        assert opened.lease is not None
        return PoolLease(self, opened, opened.lease.engine)

    def _give_back(self, opened: PooledEngine) -> None:
        with self._room.changed:
            opened.n_users -= 1
            if opened.n_users > 0:
                return
            opened.idle_since = time.monotonic()
            self._room.changed.notify_all()
            if self._watcher is None and (self._keep_alive >= 0 or self._room.is_closed):
                self._watcher = threading.Thread(target=self._watch, name="xllama-pool", daemon=True)
                self._watcher.start()

    # Opening

    def _open(self, opened: PooledEngine) -> None:
        """Open an engine, on a thread of its own: those who wait for it may give up, and it may be waited for."""
        try:
            if self._has_budget:
                self._room.reserve(opened, Engine.estimate(opened.options).total)
            lease = self._acquire(opened)
        except BaseException as error:
            with self._room.changed:
                if self._room.engines.get(opened.options) is opened:
                    del self._room.engines[opened.options]
                self._room.changed.notify_all()
            opened.closed.set_result(None)
            opened.opened.set_exception(error)
            return
        with self._room.changed:
            opened.lease = lease
            opened.n_users += 1
            self._room.changed.notify_all()
        opened.opened.set_result(None)
        self._give_back(opened)  # perhaps nobody waits any more: then its time without use begins now

    def _acquire(self, opened: PooledEngine) -> EngineLease:
        while True:
            try:
                return acquire_engine(opened.options, progress=False)
            except InsufficientMemoryError:
                victim = self._room.claim_idle([])
                if victim is None:
                    raise
                self._room.shut(victim)

    # Closing

    def _watch(self) -> None:
        """Close the engines whose time without use is over. Ends when none is idle."""
        while True:
            with self._room.changed:
                ends = {opened: self._end(opened) for opened in self._room.engines.values() if opened.is_idle}
                if not ends:
                    self._watcher = None
                    return
                opened = min(ends, key=ends.__getitem__)
                left = ends[opened] - time.monotonic()
                if left > 0:
                    self._room.changed.wait(left)
                    continue
                opened.is_leaving = True
            self._room.shut(opened)

    def _end(self, opened: PooledEngine) -> float:
        if self._room.is_closed:
            return -math.inf
        return opened.idle_since + self._keep_alive
