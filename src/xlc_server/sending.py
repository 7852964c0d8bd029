"""Reading the body of a request, and sending its answer: JSON, or server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeVar

import orjson

from xlc_server.dialects import OPENAI, Dialect
from xlc_server.errors import ApiError, server_ends, to_api_error

__all__ = [
    "Chunks",
    "PlainText",
    "Receive",
    "Scope",
    "Send",
    "read_body",
    "send_answer",
    "send_error",
    "send_events",
    "send_json",
    "send_last",
    "to_bytes",
    "until_gone",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Chunks = AsyncGenerator[Mapping[str, Any], None]
"""The events of a stream, before they are written as JSON. An empty one is not sent: it only begins the stream."""


class PlainText(str):
    """An answer that is not JSON."""

    __slots__ = ()


_Result = TypeVar("_Result")

_SECONDS_TO_END = 1.0
"""Time to tell a client that the server ends. It may not read."""

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_NOT_BUFFERED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


def to_bytes(data: Any) -> bytes:
    """Return JSON. Numbers that are not finite become null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


async def read_body(scope: Scope, receive: Receive, limit: int, timeout: float) -> bytes:
    """Return the body of a request.

    Args:
        scope: the request.
        receive: reads its next piece.
        limit: bytes that it may have.
        timeout: seconds that a piece may take.

    Raises:
        ApiError: it is too large, or does not arrive.
        ConnectionResetError: the client has gone.
    """
    too_large = ApiError(413, f"the body has more than {limit} bytes, the limit of this server", code="body_too_large")
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large
    chunks, size = [], 0
    while True:
        try:
            message = await asyncio.wait_for(receive(), timeout)
        except asyncio.TimeoutError:
            raise ApiError(408, f"the body did not arrive: nothing for {timeout:g} s", code="timeout") from None
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has gone")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def until_gone(receive: Receive, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do work for a client, and cancel it when the client has gone.

    Raises:
        ConnectionResetError: the client has gone.
        XllamaError: the errors of the work.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ConnectionResetError("the client has gone")
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    """Send an answer as JSON."""
    body = to_bytes(data)
    further = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *further]})
    await send({"type": "http.response.body", "body": body})


async def send_answer(send: Send, answer: Any) -> None:
    """Send an answer: a PlainText as it is, everything else as JSON."""
    if not isinstance(answer, PlainText):
        await send_json(send, answer)
        return
    body = answer.encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_TEXT, length]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, dialect: Dialect = OPENAI) -> None:
    """Send an error as JSON."""
    await send_json(send, dialect.error(error), error.status, error.headers)


async def send_last(sending: Awaitable[None]) -> None:
    """Send when the request has been cancelled: for a second at most, and whether or not anybody reads.

    Not in a task of its own: a loop that ends cancels all tasks once more, before a new one has begun.
    """
    working = asyncio.current_task()
    timer = asyncio.get_running_loop().call_later(_SECONDS_TO_END, working.cancel) if working else None
    try:
        with contextlib.suppress(Exception):
            await sending
    finally:
        if timer:
            timer.cancel()


async def send_events(send: Send, chunks: Chunks, dialect: Dialect = OPENAI) -> None:
    """Send a stream. Its headers go out with the first chunk, which comes when the engine has accepted the request.

    An error before that is the caller's, who answers with its status; a later one is an event, and ends the stream.
    """

    async def send_event(chunk: Mapping[str, Any]) -> None:
        name = f"event: {chunk['type']}\n".encode() if dialect.names_events else b""
        body = name + b"data: " + to_bytes(chunk) + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async with contextlib.aclosing(chunks):
        first = await anext(chunks)
        await send({"type": "http.response.start", "status": 200, "headers": [_EVENTS, *_NOT_BUFFERED]})
        try:
            if first:
                await send_event(first)
            async for chunk in chunks:
                await send_event(chunk)
        except asyncio.CancelledError:
            # The server ends, unless the client has gone, who does not read it.
            await send_last(send_event(dialect.error_event(server_ends())))
            await send_last(send({"type": "http.response.body", "body": b""}))
            raise
        except Exception as error:
            await send_event(dialect.error_event(to_api_error(error)))
        await send({"type": "http.response.body", "body": dialect.end})
