"""An endpoint as an ASGI application: it reads a request, answers it, and turns errors into answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Generic, TypeVar

from starlette.datastructures import QueryParams

from xlc_server.dialects import OPENAI, Dialect
from xlc_server.errors import server_ends, to_api_error, unknown_field
from xlc_server.reading import Reader, read_object
from xlc_server.sending import (
    Chunks,
    Receive,
    Scope,
    Send,
    read_body,
    send_answer,
    send_error,
    send_events,
    send_last,
    until_gone,
)
from xlc_server.service import Body, Service

__all__ = ["ByMethod", "Endpoint"]

_LARGE = 256 << 10
"""Bytes above which a body is read on a helper thread."""

_MOST_EXACT = 2.0**53

_BodyT = TypeVar("_BodyT", bound=Body)

Answer = Callable[[Service, _BodyT], Awaitable[Any]]
Streaming = Callable[[Service, _BodyT], Chunks | None]


class Endpoint(Generic[_BodyT]):
    """Reads a request, answers it as long as its client is there, and turns errors into answers.

    Args:
        service: the application's state.
        body_type: the body of its requests.
        answer: returns the answer.
        stream: returns the events of a request that asks for a stream; None for others.
        dialect: how events and errors are written.
        method: GET or POST.
        reader: reads the fields of a body.
        is_counted: whether a request needs one of the ``max_requests`` places.
        answers_text: whether an answer may be a text instead of JSON.
    """

    def __init__(
        self,
        service: Service,
        body_type: type[_BodyT],
        answer: Answer[_BodyT],
        stream: Streaming[_BodyT] | None = None,
        dialect: Dialect = OPENAI,
        *,
        method: str = "POST",
        reader: Reader = read_object,
        is_counted: bool = True,
        answers_text: bool = False,
    ) -> None:
        self._service = service
        self.body_type = body_type
        self.summary = (answer.__doc__ or "").partition("\n")[0]
        self.method = method
        self.reader = reader
        self.dialect = dialect
        self.can_stream = stream is not None
        self.answers_text = answers_text
        self._answer = answer
        self._stream = stream
        self._is_counted = is_counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_begun, is_stalled = False, False

        def give_up(working: asyncio.Task[Any] | None) -> None:
            nonlocal is_stalled
            if working is not None:
                is_stalled = True
                working.cancel()

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            timeout, working = self._service.options.stall_timeout, asyncio.current_task()
            timer = asyncio.get_running_loop().call_later(timeout, give_up, working)
            try:
                await send(message)
            finally:
                timer.cancel()

        try:
            with self._service.place() if self._is_counted else contextlib.nullcontext():
                limits = self._service.options
                raw = await read_body(scope, receive, limits.max_body_bytes, limits.stall_timeout)
                if len(raw) > _LARGE:
                    body = await asyncio.to_thread(self._read, scope, raw)
                else:
                    body = self._read(scope, raw)
                await until_gone(receive, self._respond(body, watched))
        except ConnectionResetError:
            return
        except asyncio.CancelledError:
            if is_stalled:  # the server closes the connection of an answer that is not complete
                return
            if not has_begun:
                await send_last(send_error(send, server_ends(), self.dialect))
            raise
        except Exception as error:
            if has_begun:
                raise
            await send_error(send, to_api_error(error), self.dialect)

    def _read(self, scope: Scope, raw: bytes) -> _BodyT:
        given = self.reader.read(scope, raw)
        fields = {name: _whole(value) for name, value in given.items() if value is not None}
        if names := self.body_type.from_url:
            url = {**QueryParams(scope["query_string"]), **scope.get("path_params", {})}
            if wrong := (set(names) - {"model"}) & fields.keys():
                raise unknown_field(min(wrong))
            fields.update({name: url[name] for name in names if name in url})
        return self.body_type(**fields)

    async def _respond(self, body: _BodyT, send: Send) -> None:
        await self._service.name_adapters(body)
        chunks = None if self._stream is None else self._stream(self._service, body)
        if chunks is None:
            await send_answer(send, await self._answer(self._service, body))
        else:
            await send_events(send, chunks, self.dialect)


def _whole(value: Any) -> Any:
    """Return a number such as 5.0 as the integer that it is in JSON."""
    is_whole = type(value) is float and value.is_integer() and abs(value) < _MOST_EXACT
    return int(value) if is_whole else value


class ByMethod:
    """The endpoints of one path, as one ASGI application. Other methods do not reach it."""

    def __init__(self, endpoints: Iterable[Endpoint[Any]]) -> None:
        self.endpoints = {endpoint.method: endpoint for endpoint in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self.endpoints[method](scope, receive, send)
