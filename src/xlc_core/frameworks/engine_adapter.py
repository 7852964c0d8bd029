"""How a framework's adapter gets its engine: the caller's engine, or a shared one that is leased on first use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SkipValidation,
    model_validator,
)
from typing_extensions import Self

from xlc_core.engine.engine import Engine
from xlc_core.engine.shared import EngineLease, acquire_engine, close_idle_engine
from xlc_core.options.durations import keep_alive_seconds
from xlc_core.options.engine import EngineOptions
from xlc_core.options.hints import hint_for_field
from xlc_core.texts import plain_path

__all__ = ["EngineAdapter", "EngineLeases", "ModelName", "default_model", "model_as_text"]

_MEANT_FOR_SERVERS = {"api_key", "base_url", "max_retries"}
"""Names that frameworks' code passes to every model, but that have no meaning for a model in this process."""


class EngineLeases:
    """The shared engines that one adapter uses. A pickle or deep copy starts without any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, EngineLease] = {}

    def opened(self, model: str | None, options: dict[str, Any]) -> Engine | None:
        """Return the engine if it is leased already."""
        lease = self._leases.get(_key(model, options))
        return lease.engine if lease else None

    def engine(self, model: str | None, options: dict[str, Any], keep_alive: float) -> Engine:
        """Return the engine; the model is loaded unless another adapter has it open, or had a moment ago."""
        key = _key(model, options)
        with self._lock:
            if key not in self._leases:
                self._leases[key] = acquire_engine(model, **options)
            lease = self._leases[key]
            lease.keep_alive = keep_alive
            return lease.engine

    def release(self) -> None:
        """Release the leases. An engine closes with its last lease."""
        with self._lock:
            for lease in self._leases.values():
                lease.release()
            self._leases.clear()

    def __reduce__(self) -> tuple[type[EngineLeases], tuple[()]]:
        return EngineLeases, ()


def _key(model: str | None, options: dict[str, Any]) -> str:
    return repr((os.getpid(), model, sorted(options.items())))  # a forked child needs its own


def model_as_text(model: str | Path | None) -> str | None:
    """Return a path as text, which can be written out and compared.

    Args:
        model: a name is returned as it is, and so is None.
    """
    return None if model is None else os.fspath(model)


ModelName = Annotated[str | Path | None, BeforeValidator(plain_path), AfterValidator(model_as_text)]
"""The type of an adapter's field for the model. Its value is a text."""


def default_model() -> str | None:
    """Return the model that ``XLLAMA_MODEL`` names, if any."""
    return os.environ.get("XLLAMA_MODEL") or None


class EngineAdapter(BaseModel):
    """The fields that every adapter has, and the engine behind them.

    Building an adapter loads nothing. The model is loaded on first use, or by ``load()``, and its
    weights are shared with every adapter of the process that has the same model and engine options.
    ``close()`` releases it; so does the end of a ``with`` block, and, after ``keep_alive``, the garbage collector.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: ModelName = None
    """Path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``."""

    n_ctx: int | None = None
    """Tokens that one request may hold, prompt and answer together; None: what the model and memory allow."""

    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Further fields of ``xlc_core.EngineOptions``, such as ``{"n_parallel": 8}``."""

    keep_alive: Annotated[float | str | timedelta, AfterValidator(keep_alive_seconds)] = Field(5.0, repr=False)
    """Seconds that the model stays loaded after the last adapter that used it was dropped without ``close()``, as
    LangChain drops one for each call of ``configurable_fields``; or a text such as ``"5m"``. 0: not at all; below 0:
    until the end of the process."""

    engine: Annotated[Engine | None, SkipValidation] = Field(None, exclude=True, repr=False)
    """An open engine to use; ``model`` and the options are its own. Who opened it closes it. None: the adapter shares
    one by ``model`` and the options."""

    _renamed_fields: ClassVar[dict[str, str]] = {}
    """Names that the framework's users may know from other adapters, and the fields here that they mean."""

    _leases: EngineLeases = PrivateAttr(default_factory=EngineLeases)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for old in values.keys() & cls._renamed_fields.keys():
            raise ValueError(f"{cls.__name__} has no field {old!r}; write {cls._renamed_fields[old]}=…")
        known = {
            *cls.model_fields,
            *(field.alias for field in cls.model_fields.values() if field.alias),
        }
        for name in values.keys() - known - _MEANT_FOR_SERVERS:
            hint = hint_for_field(name, values[name], known)
            warnings.warn(f"{cls.__name__} ignores the unknown argument {name!r}{hint and f'; {hint}'}", stacklevel=4)
        return values

    @model_validator(mode="after")
    def _require_model(self) -> Self:
        if self.engine is not None:
            # So that cache keys tell engines apart, and a pickle finds the same model again.
            options = self.engine.options
            self.model = model_as_text(options.model)
            self.engine_options = options.model_dump(exclude_defaults=True, exclude={"model"})
        elif self.model is None:
            raise ValueError(
                f"{type(self).__name__} needs engine= or model=, a path or a name that `xllama models list` shows"
            )
        else:
            EngineOptions.checked(model=self.model, **self._engine_options())
        return self

    def load(self) -> Self:
        """Load the model now instead of on first use.

        Blocks until it is open, as ``xlc_core.Engine`` does; a moment if this process has it open.

        Returns:
            the adapter itself.

        Raises:
            ModelNotFoundError: no such file or name, or it could not be fetched.
            ModelLoadError: llama.cpp cannot read the file.
            InsufficientMemoryError: the model does not fit into the free memory.
        """
        with self._framework_errors():
            self._get_engine()
        return self

    def get_engine(self) -> Engine:
        """Return the engine behind this adapter, for methods that the framework lacks: sessions, memory, counters.

        Loads the model if it is not loaded yet. The engine is shared: leave closing it to ``close``.

        Raises:
            XllamaError: those of load.
        """
        with self._framework_errors():
            return self._get_engine()

    async def aget_engine(self) -> Engine:
        """Return the engine behind this adapter without blocking the event loop; as get_engine."""
        with self._framework_errors():
            return await self._aget_engine()

    def close(self) -> None:
        """Release the model; it is unloaded at once if nobody else in the process uses it."""
        self._leases.release()
        if self.engine is None:
            close_idle_engine(self._model_name(), **self._engine_options())

    def __enter__(self) -> Self:
        return self.load()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state without an open engine; an unpickled adapter leases the model by its name."""
        if self.engine is not None:
            return self.model_copy(update={"engine": None}).__getstate__()
        return super().__getstate__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the configuration; an open engine is shared."""
        return super().__deepcopy__({**(memo or {}), id(self.engine): self.engine})

    def _framework_errors(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that turns errors into the framework's own, where it has them."""
        return contextlib.nullcontext()

    def _engine_options(self) -> dict[str, Any]:
        own = {} if self.n_ctx is None else {"n_ctx": self.n_ctx}
        return {**self.engine_options, **own}

    def _model_name(self) -> str:
        return str(self.model)

    def _get_engine(self, model: str | None = None) -> Engine:
        """Return the engine of this adapter, or of the ``model`` that one call asks for."""
        if (engine := self._opened_engine(model)) is not None:
            return engine
        keep_alive = keep_alive_seconds(self.keep_alive)
        return self._leases.engine(model or self._model_name(), self._engine_options(), keep_alive)

    async def _aget_engine(self, model: str | None = None) -> Engine:
        """Return the engine without blocking the event loop while the model loads."""
        if (engine := self._opened_engine(model)) is not None:
            return engine
        return await asyncio.to_thread(self._get_engine, model)

    def _opened_engine(self, model: str | None) -> Engine | None:
        if self.engine is not None and model in {None, self.model}:
            return self.engine
        return self._leases.opened(model or self._model_name(), self._engine_options())
