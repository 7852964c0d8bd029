"""Shares one engine among callers in a process that need the same model and options, such as adapters."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from typing_extensions import Self, Unpack

from xlc_core.engine.engine import Engine
from xlc_core.engine.opening import LoadProgress
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import EngineKwargs

__all__ = ["EngineLease", "acquire_engine"]


@dataclass
class _Shared:
    """An engine and the number of its leases. The lock is held while it opens, so that it is opened only once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    n_leases: int = 0


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
    """

    def __init__(self, options: EngineOptions, shared: _Shared, engine: Engine) -> None:
        self.engine = engine
        self._options = options
        self._shared: _Shared | None = shared

    def release(self) -> None:
        """Release the engine. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            _release(self._options, shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        # The garbage collector may run while this thread holds the locks that a release needs, and closing an
        # engine would block this thread. So another thread does it.
        shared, self._shared = self._shared, None
        if shared is not None and not sys.is_finalizing():
            with contextlib.suppress(
                RuntimeError
            ):  # threads cannot start: the interpreter is ending and closes all engines
                threading.Thread(target=_release, args=(self._options, shared), daemon=True).start()


def acquire_engine(
    model: str | Path | EngineOptions | None = None,
    *,
    progress: bool | LoadProgress | None = None,
    **options: Unpack[EngineKwargs],
) -> EngineLease:
    """Open an engine, or share an open engine with the same model and options.

    Args:
        model: see Engine.
        progress: see Engine.
        **options: fields of EngineOptions.

    Raises:
        The errors of Engine.
    """
    wanted = model if isinstance(model, EngineOptions) else EngineOptions.checked(model=model, **options)
    while True:
        with _registry_lock:
            shared = _registry.setdefault(wanted, _Shared())
        with shared.lock:
            if _registry.get(wanted) is not shared:
                continue  # its last lease was released while we waited
            if shared.engine is None or shared.engine.closed:
                try:
                    shared.engine = Engine(wanted, progress=progress)
                except BaseException:
                    _registry.pop(wanted, None)
                    raise
            shared.n_leases += 1
            return EngineLease(wanted, shared, shared.engine)


def _release(options: EngineOptions, shared: _Shared) -> None:
    with shared.lock:
        shared.n_leases -= 1
        if shared.n_leases > 0:
            return
        if _registry.get(options) is shared:
            del _registry[options]
        engine = shared.engine
    if engine is not None:
        engine.close()
