"""Observers for the LlamaIndex tests: events, callbacks, and whether the event loop keeps running."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core.callbacks import CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent


class _Recorder(BaseEventHandler):
    recorded: list[Any] = []  # noqa: RUF012 - pydantic copies it

    @classmethod
    def class_name(cls) -> str:
        return "_Recorder"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.recorded.append(event)


class Events(list[Any]):
    """The instrumentation events of a ``with watched_events()`` block."""

    def counts(self) -> Counter[str]:
        return Counter(event.class_name() for event in self)

    def of(self, name: str) -> list[Any]:
        return [event for event in self if event.class_name() == name]


@contextlib.contextmanager
def watched_events() -> Iterator[Events]:
    root = get_dispatcher()
    recorder = _Recorder(recorded=[])
    events = Events()
    recorder.recorded = events
    root.add_event_handler(recorder)
    try:
        yield events
    finally:
        root.event_handlers.remove(recorder)


class CallbackRecorder(BaseCallbackHandler):
    """Counts starts and ends of callback events."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.started: list[CBEventType] = []
        self.ended: list[CBEventType] = []

    def on_event_start(self, event_type: CBEventType, *_: Any, **kwargs: Any) -> str:
        self.started.append(event_type)
        return str(kwargs.get("event_id", ""))

    def on_event_end(self, event_type: CBEventType, *_: Any, **__: Any) -> None:
        self.ended.append(event_type)

    def start_trace(self, trace_id: str | None = None) -> None:
        pass

    def end_trace(self, *_: Any, **__: Any) -> None:
        pass


class Ticker:
    """How often the loop got its turn.

    Attributes:
        n_ticks: turns, with at least 2 ms between two.
    """

    n_ticks = 0

    def kept_turning(self) -> bool:
        """Whether the loop had turns: a call that blocks it leaves one or two, however long it takes."""
        return self.n_ticks >= 5


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    ticker = Ticker()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.002)
            ticker.n_ticks += 1

    task = asyncio.create_task(tick())
    try:
        yield ticker
    finally:
        task.cancel()
