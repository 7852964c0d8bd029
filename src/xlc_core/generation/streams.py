"""Streams of events, with the same logic for threads and asyncio. They differ only in how they wait."""

from __future__ import annotations

import abc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

from typing_extensions import Self

from xlc_core.errors import RequestCancelledError
from xlc_core.events import Event, Finished, TextDelta
from xlc_core.generation.event_reader import EventReader
from xlc_core.generation.partial_objects import apartial_objects, partial_objects
from xlc_core.results import Completion
from xlc_core.waiting import AsyncWaiter, wait_ready

__all__ = ["AsyncEventStream", "AsyncEvents", "EventStream", "Events"]

_NO_RESULT = "the stream was closed before its end; there is no result"


class Events(abc.ABC):
    """Base of streams of events: they yield events, texts or objects, return the result, and end early."""

    _completion: Completion | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self._next()
        if isinstance(event, Finished):
            self._completion = event.completion
        return event

    @abc.abstractmethod
    def _next(self) -> Event:
        """Return the next event, or raise StopIteration."""

    def text(self) -> Iterator[str]:
        """Yield the pieces of the answer's text as they come; of the first answer, where ``n`` were asked for."""
        return (event.text for event in self if isinstance(event, TextDelta) and event.index == 0)

    def objects(self) -> Iterator[Any]:
        """Yield the object of a JSON answer as it grows; see partial_objects."""
        return partial_objects(self)

    def result(self) -> Completion:
        """Return the whole result, after reading the events that are left. It may be called at any time and again.

        Raises:
            RequestCancelledError: the stream was closed before its end.
            XllamaError: the errors of the request.
        """
        while self._completion is None:
            if next(self, None) is None:
                raise RequestCancelledError(_NO_RESULT)
        return self._completion

    @abc.abstractmethod
    def cancel(self) -> None:
        """End the answer, from any thread. The stream still yields earlier events and a Finished event."""

    @abc.abstractmethod
    def stop_thinking(self) -> None:
        """End the model's thinking with its next token, so that it answers. From any thread.

        It may be called before the thinking starts, and applies to all ``n`` answers. If the model does not think, it
        has no effect.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the request and the stream. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncEvents(abc.ABC):
    """Base of async streams of events; see Events."""

    _completion: Completion | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._next()
        if isinstance(event, Finished):
            self._completion = event.completion
        return event

    @abc.abstractmethod
    async def _next(self) -> Event:
        """Return the next event, or raise StopAsyncIteration."""

    async def text(self) -> AsyncIterator[str]:
        """Yield the pieces of the answer's text as they come; see Events.text."""
        async for event in self:
            if isinstance(event, TextDelta) and event.index == 0:
                yield event.text

    def objects(self) -> AsyncIterator[Any]:
        """Yield the object of a JSON answer as it grows; see partial_objects."""
        return apartial_objects(self)

    async def result(self) -> Completion:
        """Return the whole result, after reading the events that are left; see Events.result.

        Raises:
            RequestCancelledError: the stream was closed before its end.
        """
        while self._completion is None:
            if await anext(self, None) is None:
                raise RequestCancelledError(_NO_RESULT)
        return self._completion

    @abc.abstractmethod
    async def start(self) -> None:
        """Queue the request now, unless it was; otherwise the first event that is awaited does. Idempotent.

        Returns when the engine has accepted the request: its options and constraint are valid and its prompt fits into
        a slot. It may still wait for one.

        Raises:
            XllamaError: the errors of a request that cannot be answered. Later ones come with the events.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """End the answer, from any thread. The stream still yields earlier events and a Finished event.

        Also before the first event was asked for.
        """

    @abc.abstractmethod
    def stop_thinking(self) -> None:
        """End the model's thinking with its next token; see Events.stop_thinking."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """End the request and the stream. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class EventStream(Events):
    """The events of one request, as an iterator. Waiting for one raises the errors of the request.

    The request runs even if nobody reads the events, which are then kept in memory. It ends and frees its slot when it
    is done, when the stream is closed or deleted, on Ctrl+C and at its timeout. To be sure, use the stream as a context
    manager.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def _next(self) -> Event:
        reader = self._reader
        if not reader.ready:
            if reader.ended:
                raise StopIteration
            try:
                while not reader.read():
                    wait_ready(reader.generation, reader.deadline)
            except BaseException:
                self.close()
                raise
        return reader.ready.popleft()

    def cancel(self) -> None:  # noqa: D102
        self._reader.cancel()

    def stop_thinking(self) -> None:  # noqa: D102
        self._reader.stop_thinking()

    def close(self) -> None:  # noqa: D102
        self._reader.close()


class AsyncEventStream(AsyncEvents):
    """The events of one request, as an async iterator. The request starts with the first ``anext``, or with ``start``.

    Cancelling the waiting task, and closing or deleting the stream, end the request and free its slot.
    """

    def __init__(self, start: Callable[[threading.Event], Awaitable[EventReader]]) -> None:
        self._submit = start
        self._given_up = threading.Event()  # ends the reading of a long prompt
        self._reader: EventReader | None = None
        self._waiter: AsyncWaiter | None = None
        self._cancelled = False
        self._stops_thinking = False
        self._closed = False

    async def start(self) -> None:  # noqa: D102
        if self._reader is None and not self._closed:
            self._begin(await self._submit(self._given_up))

    def _begin(self, reader: EventReader) -> None:
        self._reader = reader
        self._waiter = AsyncWaiter(reader.generation)
        if self._stops_thinking:
            reader.stop_thinking()
        if self._cancelled:
            reader.cancel()
        if self._closed:  # while the request was queued
            reader.close()

    async def _next(self) -> Event:
        await self.start()
        reader, waiter = self._reader, self._waiter
        if self._closed or reader is None or waiter is None:
            raise StopAsyncIteration
        if not reader.ready:
            if reader.ended:
                raise StopAsyncIteration
            try:
                while not reader.read():
                    await waiter.ready(reader.deadline)
            except BaseException:
                self._close()
                raise
        return reader.ready.popleft()

    def cancel(self) -> None:  # noqa: D102
        self._cancelled = True
        if self._reader is not None:
            self._reader.cancel()

    def stop_thinking(self) -> None:  # noqa: D102
        self._stops_thinking = True
        if self._reader is not None:
            self._reader.stop_thinking()

    async def aclose(self) -> None:  # noqa: D102
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._given_up.set()
        if self._reader is not None:
            self._reader.close()
