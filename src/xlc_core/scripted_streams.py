"""Streams of scripted events, with the methods of real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from xlc_core.events import Event, Finished, ReasoningDelta, TextDelta
from xlc_core.generation.streams import AsyncEvents, Events
from xlc_core.results import Completion, CompletionChoice, Usage

__all__ = ["AsyncScriptedStream", "ScriptedStream"]


class _Script:
    """The events of one reply, up to where the stream is closed or cancelled."""

    def __init__(self, make_events: Callable[[], list[Event]]) -> None:
        self._make_events = make_events
        self._events: Iterator[Event] | None = None
        self._played: list[Event] = []
        self._cancelled = False
        self.closed = False

    def start(self) -> Iterator[Event]:
        if self._events is None:
            self._events = iter(self._make_events())
        return self._events

    def next(self) -> Event | None:
        events = self.start()
        if self.closed or (self._played and isinstance(self._played[-1], Finished)):
            return None
        event = self._as_cancelled() if self._cancelled else next(events, None)
        if event is not None:
            self._played.append(event)
        return event

    def cancel(self) -> None:
        self._cancelled = True

    def _as_cancelled(self) -> Finished:
        texts = [event.text for event in self._played if isinstance(event, TextDelta)]
        thoughts = [event.text for event in self._played if isinstance(event, ReasoningDelta)]
        choice = CompletionChoice("".join(texts), "".join(thoughts), finish_reason="cancelled")
        return Finished(Completion((choice,), Usage()))


class ScriptedStream(Events):
    """Plays events like ``EventStream``."""

    def __init__(self, events: list[Event]) -> None:
        self._script = _Script(lambda: events)

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._script.closed

    def _next(self) -> Event:
        if (event := self._script.next()) is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """End the stream without a result."""
        self._script.closed = True

    def cancel(self) -> None:
        """End the stream with the events so far."""
        self._script.cancel()

    def stop_thinking(self) -> None:
        """Change nothing: the script contains the thinking."""


class AsyncScriptedStream(AsyncEvents):
    """Plays events like ``AsyncEventStream``: the reply begins with the first event that is awaited."""

    def __init__(self, make_events: Callable[[], list[Event]]) -> None:
        self._script = _Script(make_events)

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._script.closed

    async def start(self) -> None:
        """Begin the reply, if it has not begun."""
        self._script.start()

    async def _next(self) -> Event:
        await asyncio.sleep(0)  # a real stream lets other tasks run between events
        if (event := self._script.next()) is None:
            raise StopAsyncIteration
        return event

    def cancel(self) -> None:
        """End the stream with the events so far."""
        self._script.cancel()

    def stop_thinking(self) -> None:
        """Change nothing: the script contains the thinking."""

    async def aclose(self) -> None:
        """End the stream without a result."""
        self._script.closed = True
