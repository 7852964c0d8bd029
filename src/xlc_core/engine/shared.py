"""Shares one engine among callers in a process that need the same model and options, such as adapters."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from typing_extensions import Self, Unpack

from xlc_core.engine.engine import Engine
from xlc_core.engine.opening import LoadProgress
from xlc_core.errors import InsufficientMemoryError
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import EngineKwargs

__all__ = ["EngineLease", "acquire_engine", "close_idle_engine"]


@dataclass
class _Shared:
    """An engine and the number of its leases. The lock is held while it opens, so that it is opened only once.

    An engine whose last lease was dropped stays open for the next one until ``idle_until``, which a thread watches.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    n_leases: int = 0
    idle_until: float = 0.0
    is_watched: bool = False


_registry: dict[EngineOptions, _Shared] = {}
_registry_lock = threading.Lock()


def _forget_all() -> None:
    # In a forked child the parent's engines have no threads, so it opens its own.
    global _registry_lock
    _registry_lock = threading.Lock()
    _registry.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class EngineLease:
    """The right to use a shared engine. The engine closes when the last lease on it is released.

    Attributes:
        engine: the engine.
        keep_alive: seconds that the engine stays open if its last lease is not released but dropped, for whoever leases
            it next; below 0: until the end of the process. So a program that makes an adapter for each call does not
            load the model each time.
    """

    def __init__(self, options: EngineOptions, shared: _Shared, engine: Engine) -> None:
        self.engine = engine
        self.keep_alive = 0.0
        self._options = options
        self._shared: _Shared | None = shared

    def release(self) -> None:
        """Release the engine. Idempotent. The last lease's release closes the engine, and waits for that."""
        shared, self._shared = self._shared, None
        if shared is not None:
            _release(self._options, shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:  # sys may be gone by then
        # The garbage collector may run while this thread holds the locks that a release needs, and closing an
        # engine would block this thread. So another thread does it.
        shared, self._shared = self._shared, None
        if shared is not None and not _is_finalizing():
            with contextlib.suppress(
                RuntimeError
            ):  # threads cannot start: the interpreter is ending and closes all engines
                arguments = (self._options, shared, self.keep_alive)
                threading.Thread(target=_release, args=arguments, daemon=True).start()


def acquire_engine(
    model: str | Path | EngineOptions | None = None,
    *,
    progress: bool | LoadProgress | None = None,
    **options: Unpack[EngineKwargs],
) -> EngineLease:
    """Open an engine, or share an open engine with the same model and options.

    If memory is short, engines of this process without leases are closed first. Callers that need the same engine at
    once wait until it is open, as long as Engine takes; one that is open already is returned at once.

    Args:
        model: as Engine takes it; None: the value of ``XLLAMA_MODEL``.
        progress: as Engine takes it; None shows a bar on a terminal.
        **options: fields of EngineOptions.

    Returns:
        a lease; the engine stays open until the last one is released.

    Raises:
        XllamaError: the errors of Engine.
    """
    wanted = EngineOptions.of(model, options)
    while True:
        with _registry_lock:
            shared = _registry.setdefault(wanted, _Shared())
        with shared.lock:
            if _registry.get(wanted) is not shared:
                continue  # its last lease was released while we waited
            if shared.engine is None or shared.engine.closed:
                try:
                    shared.engine = _open(wanted, progress, shared)
                except BaseException:
                    _registry.pop(wanted, None)
                    raise
            shared.n_leases += 1
            return EngineLease(wanted, shared, shared.engine)


def close_idle_engine(model: str | Path | None, **options: Unpack[EngineKwargs]) -> None:
    """Close the engine of a model and its options now if it only waits for somebody to lease it."""
    wanted = EngineOptions.checked(model=model, **options)
    shared = _registry.get(wanted)
    if shared is not None:
        with shared.lock:
            engine = _taken_out(wanted, shared)
        if engine is not None:
            engine.close()


def _open(options: EngineOptions, progress: bool | LoadProgress | None, own: _Shared) -> Engine:
    """Open an engine, after closing those that nobody uses if memory is short."""
    try:
        return Engine(options, progress=progress)
    except InsufficientMemoryError:
        if not _close_idle_engines(own):
            raise
    return Engine(options, progress=progress)


def _close_idle_engines(own: _Shared) -> bool:
    closed = False
    for options, shared in list(_registry.items()):
        # Two threads that open engines hold a lock each, so neither may wait for the other's.
        if shared is not own and shared.lock.acquire(blocking=False):
            try:
                engine = _taken_out(options, shared)
            finally:
                shared.lock.release()
            if engine is not None:
                engine.close()
                closed = True
    return closed


def _taken_out(options: EngineOptions, shared: _Shared) -> Engine | None:
    """Remove an engine without leases from the registry and return it; None if there are leases. Needs the lock."""
    if shared.n_leases > 0:
        return None
    if _registry.get(options) is shared:
        del _registry[options]
    engine, shared.engine = shared.engine, None
    return engine


def _release(options: EngineOptions, shared: _Shared, keep_alive: float = 0.0) -> None:
    with shared.lock:
        shared.n_leases -= 1
        if shared.n_leases > 0:
            return
        if keep_alive:
            shared.idle_until = time.monotonic() + keep_alive if keep_alive > 0 else math.inf
            if shared.is_watched or keep_alive < 0:
                return
            shared.is_watched = True
        engine = None if keep_alive else _taken_out(options, shared)
    if keep_alive:
        engine = _wait_idle(options, shared)
    if engine is not None:
        engine.close()


def _wait_idle(options: EngineOptions, shared: _Shared) -> Engine | None:
    """Return the engine when its time without leases is over; None if it was leased again or closed."""
    while True:
        with shared.lock:
            left = shared.idle_until - time.monotonic()
            if shared.n_leases > 0 or shared.engine is None or math.isinf(left):
                shared.is_watched = False
                return None
            if left <= 0:
                shared.is_watched = False
                return _taken_out(options, shared)
        time.sleep(left)
