"""The state that all endpoints of one application share, and an endpoint as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

from xlc_core import EnginePool, ModelNotFoundError, PoolLease
from xlc_server.dialects import OPENAI, Dialect
from xlc_server.errors import ApiError, server_ends, to_api_error
from xlc_server.options import ServerOptions
from xlc_server.sending import (
    Chunks,
    Receive,
    Scope,
    Send,
    read_body,
    send_error,
    send_events,
    send_json,
    send_last,
    until_gone,
)

__all__ = ["Body", "Endpoint", "Service", "new_id", "now"]


class Body(BaseModel):
    """Base of the bodies of requests. A field that is not known is refused, as OpenAI does."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = ""


_MOST_LISTED = 1000

_BodyT = TypeVar("_BodyT", bound=Body)

Answer = Callable[["Service", _BodyT], Awaitable[Mapping[str, Any]]]
Streaming = Callable[["Service", _BodyT], Chunks | None]


class Service:
    """The engines and limits of one application."""

    def __init__(self, pool: EnginePool, options: ServerOptions) -> None:
        self.pool = pool
        self.options = options
        self._listed: set[str] = set()
        self._n_requests = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Count a request while it is answered.

        Raises:
            ApiError: there are too many.
        """
        with self._lock:
            if self._n_requests >= self.options.max_requests:
                raise ApiError(
                    429,
                    f"{self._n_requests} requests are answered or wait, the limit of this server; try again later",
                    kind="rate_limit_error",
                    code="too_many_requests",
                )
            self._n_requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_requests -= 1

    @property
    def n_requests(self) -> int:
        """Requests that are answered or wait."""
        return self._n_requests

    def model_name(self, body: Body) -> str:
        """Return the name of the model that a request asks for; the first one if it does not name any."""
        if body.model:
            return body.model
        if self.pool.default is None:
            raise ApiError(400, "model: name a model; /v1/models lists them", param="model")
        return self.pool.default

    async def engine(self, body: Body) -> PoolLease:
        """Return a lease on the engine that a request asks for."""
        name = self.model_name(body)
        await self.require_listed(name)
        return await self.pool.aacquire(name)

    async def require_listed(self, name: str) -> None:
        """Check that a request may name a model.

        Raises:
            ModelNotFoundError: it may not, or the pool may not open it.
        """
        if name in self._listed:
            return
        await asyncio.to_thread(self.pool.options, name)
        if not self.options.allow_any_model and name not in await asyncio.to_thread(self.pool.names):
            raise ModelNotFoundError(f"the model {name!r:.200} is not served here; /v1/models lists the models")
        if len(self._listed) < _MOST_LISTED:
            self._listed.add(name)


class Endpoint(Generic[_BodyT]):
    """Reads a request, answers it as long as its client is there, and turns errors into answers.

    Args:
        service: the application's state.
        body_type: the body of its requests.
        answer: returns the answer.
        stream: returns the events of a request that asks for a stream; None for others.
        dialect: how events and errors are written.
    """

    def __init__(
        self,
        service: Service,
        body_type: type[_BodyT],
        answer: Answer[_BodyT],
        stream: Streaming[_BodyT] | None = None,
        dialect: Dialect = OPENAI,
    ) -> None:
        self._service = service
        self.body_type = body_type
        self.summary = (answer.__doc__ or "").partition("\n")[0]
        self._answer = answer
        self._stream = stream
        self._dialect = dialect

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
            with self._service.place():
                limits = self._service.options
                raw = await read_body(scope, receive, limits.max_body_bytes, limits.stall_timeout)
                body = self._read(raw)
                await until_gone(receive, self._respond(body, watched))
        except ConnectionResetError:
            return
        except asyncio.CancelledError:
            if is_stalled:  # the server closes the connection of an answer that is not complete
                return
            if not has_begun:
                await send_last(send_error(send, server_ends(), self._dialect))
            raise
        except Exception as error:
            if has_begun:
                raise
            await send_error(send, to_api_error(error), self._dialect)

    def _read(self, body: bytes) -> _BodyT:
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
        if not isinstance(fields, dict):
            raise ApiError(400, "the body must be a JSON object", code="invalid_json")
        return self.body_type(**{name: value for name, value in fields.items() if value is not None})

    async def _respond(self, body: _BodyT, send: Send) -> None:
        chunks = None if self._stream is None else self._stream(self._service, body)
        if chunks is None:
            await send_json(send, await self._answer(self._service, body))
        else:
            await send_events(send, chunks, self._dialect)


def new_id(kind: str) -> str:
    """Return an id such as ``chatcmpl-5f…``."""
    return f"{kind}-{uuid.uuid4().hex}"


def now() -> int:
    """Return the time as OpenAI writes it."""
    return int(time.time())
