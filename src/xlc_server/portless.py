"""An ASGI application as the transport of an HTTP client, in one process and without a port.

httpx's own ASGITransport collects an answer before it returns it. This one passes each piece on as it comes, and
closing an answer ends the work for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from typing import Any

__all__ = ["App", "async_transport", "sync_transport"]

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""

_Message = MutableMapping[str, Any]
_Piece = _Message | BaseException | None
"""A message of the application's, the error with which it ended, or its end."""


async def _run(app: App, scope: dict[str, Any], body: bytes, put: Callable[[_Piece], object]) -> None:
    """Answer one request. Cancelling it is what a client does that closes the connection."""
    bodies = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> _Message:
        message = next(bodies, None)
        return message if message is not None else await asyncio.get_running_loop().create_future()

    async def send(message: _Message) -> None:
        put(message)

    try:
        await app(scope, receive, send)
    except BaseException as error:
        put(error)
        if not isinstance(error, Exception):
            raise
    else:
        put(None)


def _scope(request: Any) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port),
        "client": None,
        "state": {},
    }


def _read_timeout(request: Any) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


def _require_start(piece: _Piece) -> _Message:
    if isinstance(piece, BaseException):
        raise piece
    if piece is None:
        raise RuntimeError("the application ended without an answer")
    return piece


def _body_of(piece: _Piece) -> tuple[bytes, bool]:
    """Return a piece of the body, and whether there may be more."""
    if isinstance(piece, BaseException):
        raise piece
    return (b"", False) if piece is None else (piece.get("body", b""), bool(piece.get("more_body")))


class _LoopThread:
    """An event loop on a thread of its own, for callers without one. It starts with the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Start work on the loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_turn, args=(self._loop,), name="xllama-client", daemon=True).start()
                self._end = weakref.finalize(self, _stop, self._loop)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """End the loop, and all work on it."""
        with self._lock:
            if self._loop is not None:
                self._loop = None
                self._end()  # once: the loop still runs while its tasks end, and must not be stopped then


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end_tasks())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(loop.stop)


@functools.cache
def _sync_classes(httpx: Any) -> tuple[Any, Any]:
    class Stream(httpx.SyncByteStream):  # type: ignore[misc]  # httpx or httpx2
        def __init__(self, pieces: Callable[[], _Piece], working: Future[None]) -> None:
            self._pieces = pieces
            self._working = working

        def __iter__(self) -> Iterator[bytes]:
            more = True
            while more:
                body, more = _body_of(self._pieces())
                if body:
                    yield body

        def close(self) -> None:
            self._working.cancel()

    class Transport(httpx.BaseTransport):  # type: ignore[misc]
        def __init__(self, app: App, close: Callable[[], None]) -> None:
            self._app = app
            self._close = close
            self._thread = _LoopThread()

        def handle_request(self, request: Any) -> Any:
            pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
            timeout = _read_timeout(request)
            working = self._thread.run(_run(self._app, _scope(request), request.read(), pieces.put))

            def next_piece() -> _Piece:
                try:
                    return pieces.get(timeout=timeout)
                except queue.Empty:
                    raise httpx.ReadTimeout(f"no answer within {timeout:g} s", request=request) from None

            try:
                start = _require_start(next_piece())
            except BaseException:
                working.cancel()
                raise
            return httpx.Response(start["status"], headers=start["headers"], stream=Stream(next_piece, working))

        def close(self) -> None:
            self._thread.stop()
            self._close()

    return Stream, Transport


@functools.cache
def _async_classes(httpx: Any) -> tuple[Any, Any]:
    class Stream(httpx.AsyncByteStream):  # type: ignore[misc]  # httpx or httpx2
        def __init__(self, pieces: Callable[[], Awaitable[_Piece]], working: asyncio.Task[None]) -> None:
            self._pieces = pieces
            self._working = working

        async def __aiter__(self) -> AsyncIterator[bytes]:
            more = True
            while more:
                body, more = _body_of(await self._pieces())
                if body:
                    yield body

        async def aclose(self) -> None:
            self._working.cancel()
            await asyncio.wait({self._working})

    class Transport(httpx.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, app: App, close: Callable[[], None]) -> None:
            self._app = app
            self._close = close

        async def handle_async_request(self, request: Any) -> Any:
            pieces: asyncio.Queue[_Piece] = asyncio.Queue()
            timeout = _read_timeout(request)
            body = await request.aread()
            working = asyncio.ensure_future(_run(self._app, _scope(request), body, pieces.put_nowait))

            async def next_piece() -> _Piece:
                try:
                    return await asyncio.wait_for(pieces.get(), timeout)
                except asyncio.TimeoutError:
                    raise httpx.ReadTimeout(f"no answer within {timeout:g} s", request=request) from None

            try:
                start = _require_start(await next_piece())
            except BaseException:
                working.cancel()
                raise
            return httpx.Response(start["status"], headers=start["headers"], stream=Stream(next_piece, working))

        async def aclose(self) -> None:
            await asyncio.to_thread(self._close)

    return Stream, Transport


def sync_transport(httpx: Any, app: App, close: Callable[[], None]) -> Any:
    """Return a transport for a synchronous client. It may be used from any thread, with an event loop or without.

    Args:
        httpx: the module ``httpx``, or ``httpx2``.
        app: the application that answers.
        close: is called when the client is closed.
    """
    return _sync_classes(httpx)[1](app, close)


def async_transport(httpx: Any, app: App, close: Callable[[], None]) -> Any:
    """Return a transport for an asynchronous client; see sync_transport."""
    return _async_classes(httpx)[1](app, close)
