"""What the LlamaIndex tests watch with: events, callbacks, and whether the event loop keeps turning."""

from __future__ import annotations

import asyncio
import contextlib
import time
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
    """How often the loop got its turn, and how long at most it did not.

    Attributes:
        n_ticks: turns, of about 10 ms each.
        longest_gap: seconds.
        seconds: the time watched.
    """

    n_ticks = 0
    longest_gap = 0.0
    seconds = 0.0

    def kept_turning(self) -> bool:
        """Whether the loop was never held up for long: a blocking call holds it for nearly all the time."""
        return self.n_ticks >= 3 and self.longest_gap < max(0.25, 0.5 * self.seconds)


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    ticker = Ticker()
    start = last = time.perf_counter()

    async def tick() -> None:
        nonlocal last
        while True:
            await asyncio.sleep(0.01)
            now = time.perf_counter()
            ticker.n_ticks += 1
            ticker.longest_gap = max(ticker.longest_gap, now - last)
            last = now

    task = asyncio.create_task(tick())
    try:
        yield ticker
        ticker.longest_gap = max(ticker.longest_gap, time.perf_counter() - last)
        ticker.seconds = time.perf_counter() - start
    finally:
        task.cancel()
