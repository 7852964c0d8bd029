"""The attributes and helpers that the parts of Engine share."""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

from typing_extensions import Self

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import ModelFile
from xlc_core.engine.lora_scales import LoraScales
from xlc_core.errors import RequestCancelledError
from xlc_core.generation.event_reader import EventReader
from xlc_core.generation.off_loop import off_loop
from xlc_core.generation.request import Request, RequestBuilder
from xlc_core.generation.streams import AsyncEventStream, EventStream
from xlc_core.models.catalog import CatalogEntry
from xlc_core.options.engine import EngineOptions
from xlc_core.results import ModelInfo

__all__ = ["EngineBase", "EngineFace"]


class EngineFace(abc.ABC):
    """The parts of an engine that need no model: ScriptedEngine has them too.

    Attributes:
        info: what the engine says of its model.
        options: the options that it was opened with.
    """

    info: ModelInfo
    options: EngineOptions
    _lora_scales: LoraScales

    @property
    def lora_scales(self) -> dict[str, float]:
        """How much of each LoRA adapter requests get, by name; a copy."""
        return self._lora_scales.get()

    def set_lora_scales(self, scales: Mapping[str, float]) -> None:
        """Change how much of some LoRA adapters the requests that follow get; those under way keep theirs.

        Args:
            scales: by the adapters' names, 0 to turn one off; those not named keep theirs.

        Raises:
            InvalidRequestError: there is no such adapter, or a scale is not a finite number.
        """
        self._lora_scales.change(scales)

    @abc.abstractmethod
    def close(self) -> None:
        """End all requests and free the model. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EngineBase(EngineFace):
    """The attributes and helpers that the parts of Engine share."""

    _native: NativeEngine
    _file: ModelFile
    _entry: CatalogEntry | None  # of the catalog, for a model that was named by it
    _has_sentence_types: bool  # of a reranker's documents
    _projector: str  # the mmproj file, empty without
    _requests: RequestBuilder

    def _submit(self, request: Request, given_up: threading.Event | None = None) -> EventReader:
        def look() -> None:
            """Called while a long prompt is read."""
            if given_up is not None and given_up.is_set():
                raise RequestCancelledError("the request was given up while its prompt was read")
            request.deadline.check()

        reader = EventReader(self._native.submit(request.native, look), request, self.info.name)
        if request.thinking_switch is not None:
            request.thinking_switch.control(reader)
        return reader

    def _stream(self, build: Callable[[], Request]) -> EventStream:
        return EventStream(self._submit(build()))

    def _astream(self, build: Callable[[], Request], *, takes_long: bool) -> AsyncEventStream:
        return AsyncEventStream(self._queueing(build, takes_long=takes_long))

    def _queueing(
        self, build: Callable[[], Request], *, takes_long: bool
    ) -> Callable[[threading.Event], Awaitable[EventReader]]:
        """Return what builds and queues a request without blocking the event loop, until an event gives it up."""

        async def start(given_up: threading.Event) -> EventReader:
            is_asleep = not self._native.stay_awake()
            return await off_loop(lambda: self._submit(build(), given_up), given_up, takes_long=takes_long or is_asleep)

        return start

    async def _awake(self) -> None:
        """Load the model again if the engine sleeps, on a helper thread."""
        if not self._native.stay_awake():
            await asyncio.to_thread(self._native.info)
