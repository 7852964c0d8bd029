"""Streams of scripted events, with the methods of real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType

from xlc_core.errors import RequestCancelledError
from xlc_core.events import Event, Finished, ReasoningDelta, TextDelta
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

    def next(self) -> Event | None:
        if self._events is None:
            self._events = iter(self._make_events())
        if self.closed or (self._played and isinstance(self._played[-1], Finished)):
            return None
        event = self._as_cancelled() if self._cancelled else next(self._events, None)
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


class ScriptedStream(AbstractContextManager["ScriptedStream"]):
    """Plays events like ``EventStream``."""

    def __init__(self, events: list[Event]) -> None:
        self._script = _Script(lambda: events)

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._script.closed

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
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

    def result(self) -> Completion:
        """Skip to the end."""
        for event in self:
            if isinstance(event, Finished):
                return event.completion
        raise _no_result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncScriptedStream(AbstractAsyncContextManager["AsyncScriptedStream"]):
    """Plays events like ``AsyncEventStream``: the reply begins with the first event that is awaited."""

    def __init__(self, make_events: Callable[[], list[Event]]) -> None:
        self._script = _Script(make_events)

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._script.closed

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
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

    async def result(self) -> Completion:
        """Skip to the end."""
        async for event in self:
            if isinstance(event, Finished):
                return event.completion
        raise _no_result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _no_result() -> RequestCancelledError:
    return RequestCancelledError("the stream was closed before its end; there is no result")
