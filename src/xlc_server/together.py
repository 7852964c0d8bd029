"""Several pieces of work at the same time, for one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable
from typing import TypeVar

from xlc_core import AsyncEventStream, Event

__all__ = ["merged", "together"]

_Result = TypeVar("_Result")


async def together(work: Iterable[Awaitable[_Result]]) -> list[_Result]:
    """Do all work at once, and return the results in order. If one fails, the others end too."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def merged(streams: Iterable[AsyncEventStream]) -> AsyncGenerator[tuple[int, Event], None]:
    """Yield the events of all streams as they come, each with the number of its stream. If one fails, all end."""

    def following(stream: AsyncEventStream) -> asyncio.Future[Event | None]:
        async def read() -> Event | None:
            return await anext(stream, None)

        return asyncio.ensure_future(read())

    waiting = {following(stream): (number, stream) for number, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number, stream = waiting.pop(task)
                event = task.result()
                if event is not None:
                    waiting[following(stream)] = (number, stream)
                    yield number, event
    finally:
        await _end(waiting)


async def _end(tasks: Iterable[asyncio.Future[_Result]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
