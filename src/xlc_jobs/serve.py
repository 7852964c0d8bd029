"""The server's application on Ray Serve: replicas with an engine each, and a door that chooses among them.

The door reads a request, chooses the replica that has its conversation's beginning in the prompt cache, and passes on
what it answers. If that replica dies before the client has got anything, another one answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, MutableMapping
from typing import Any

try:
    from ray import serve
    from ray.exceptions import RayActorError
    from ray.serve.config import RequestRouterConfig
    from ray.serve.exceptions import BackPressureError
    from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica
except ImportError as error:
    raise ImportError("serving on a cluster needs Ray: pip install 'xllama[ray]'") from error

from starlette.applications import Starlette
from starlette.routing import Mount

from xlc_core import EngineClosedError, EngineOptions, EnginePool, InvalidRequestError, PoolNames
from xlc_core.hardware import available_cores
from xlc_jobs.routing import conversation_key, ranked
from xlc_server import ServerOptions, create_app
from xlc_server.dialects import dialect_of
from xlc_server.errors import ApiError
from xlc_server.guard import guarding
from xlc_server.sending import Receive, Scope, Send, read_body, send_error

__all__ = ["PrefixRouter", "deployment"]

_MOST_CORES = 8
_SLOTS = 16  # of an engine that does not say how many
_TRIES = 4
_READ_AHEAD = 64  # messages of an answer that the client has not taken


def deployment(
    model: PoolNames | str,
    *,
    replicas: int | tuple[int, int] = 1,
    doors: int = 1,
    n_cores: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    grace: float = 60,
    **options: Any,
) -> serve.Application:
    """Return an application for ``serve.run``: OpenAI's and Anthropic's API on replicas of one or several models.

    Args:
        model: a model, or names of models as EnginePool takes them; every replica opens all of them.
        replicas: the number of replicas; or the least and the most, between which it follows the requests that are
            answered or wait: as many for each replica as it has slots.
        doors: processes that read requests and pass on answers; each needs a core under load.
        n_cores: cores of each replica; None: those of this machine, but at most 8.
        engine_options: fields of EngineOptions, for all models.
        grace: seconds that answers may go on in a replica that is replaced or not needed any more.
        **options: fields of ServerOptions. As in ``xllama serve``, other machines are answered only with ``api_keys``.

    Raises:
        InvalidRequestError: an option is wrong.
    """
    cores = n_cores or min(_MOST_CORES, available_cores())
    chosen = {"n_threads": cores, **dict(engine_options or {})}
    slots = EngineOptions.checked(model="-", **chosen).n_parallel or _SLOTS
    least, most = replicas if isinstance(replicas, tuple) else (replicas, replicas)
    if not 0 <= least <= most or most < 1:
        raise InvalidRequestError(f"replicas must be a number from 1, or the least and the most, got {replicas!r}")
    checked = ServerOptions.checked(**options)
    size: dict[str, Any] = {"num_replicas": least}
    if least != most:
        size = {
            "num_replicas": None,
            "autoscaling_config": {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": slots},
        }
    engines = serve.deployment(
        _Engines,
        name="engines",
        ray_actor_options={"num_cpus": cores},
        max_ongoing_requests=2 * slots,  # more of them wait in the door, and go to the next replica in order
        request_router_config=RequestRouterConfig(request_router_class=PrefixRouter),
        graceful_shutdown_timeout_s=grace,
        **size,
    )
    door = serve.deployment(
        _Door,
        name="door",
        num_replicas=doors,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=checked.max_requests * max(most, 1),
        graceful_shutdown_timeout_s=grace,
    )
    names: PoolNames = {model: model} if isinstance(model, str) else model
    return door.bind(engines.bind(names, chosen, checked), checked)


class PrefixRouter(RequestRouter):  # type: ignore[misc,unused-ignore]  # Ray's types are not read
    """Chooses the replica that has a conversation's beginning in its prompt cache, and the next in order if it is full.

    The order is that of rendezvous hashing of the first argument, so that all doors choose alike without talking to
    each other. Requests without a key go to the least busy replica.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the replicas to try, one after another."""
        key = pending_request.args[0] if pending_request is not None and pending_request.args else ""
        if not key:
            return [candidate_replicas]
        names = [replica.replica_id.unique_id for replica in candidate_replicas]
        return [[candidate_replicas[place]] for place in ranked(key, names)]


class _Engines:
    """A replica: the server's application without a port."""

    def __init__(self, names: PoolNames, engine_options: Mapping[str, Any], options: ServerOptions) -> None:
        self._pool = EnginePool(names, others="none", **engine_options)
        for name in self._pool.names():
            self._pool.acquire(name).release()  # opened before the first request, and a wrong name ends the replica
        # The door has checked who asks.
        self._app = create_app(self._pool, **{**options.model_dump(), "protect": False, "cors_origins": ()})

    async def answer(self, key: str, scope: Scope, body: bytes) -> AsyncIterator[MutableMapping[str, Any]]:
        """Yield the ASGI messages of an answer. The key is for the router."""
        answered: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue(_READ_AHEAD)
        requests = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            try:
                await self._app(scope, receive, answered.put)
            finally:
                gone.set()
                await answered.put(None)

        task = asyncio.create_task(work())
        try:
            while (message := await answered.get()) is not None:
                yield message
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def check_health(self) -> None:
        """Raise if an engine was closed, so that Ray replaces this replica."""
        for name in self._pool.names():
            engine = self._pool.opened(name)
            if engine is not None and engine.closed:
                raise EngineClosedError(f"the engine of {name!r} is closed")


async def _pass_on(scope: Scope, receive: Receive, send: Send) -> None:
    door: _Door = serve.get_replica_context().servable_object
    await door.guarded(scope, receive, send)


@serve.ingress(Starlette(routes=[Mount("/", _pass_on)]))
class _Door:
    """Reads requests, and passes on what replicas answer.

    Attributes:
        guarded: the door as an ASGI application, with its guard.
    """

    def __init__(self, engines: Any, options: ServerOptions) -> None:
        self._engines = engines.options(stream=True)
        self._options = options
        self.guarded = Starlette(routes=[Mount("/", self._forward)], middleware=guarding(options))

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, self._options.max_body_bytes, self._options.stall_timeout)
            await self._answer(_plain(scope), body, send)
        except ApiError as error:
            await send_error(send, error, dialect_of(scope["path"]))

    async def _answer(self, scope: Scope, body: bytes, send: Send) -> None:
        key = conversation_key(body)
        for _ in range(_TRIES):
            answer = _Answer(send)
            messages = self._engines.answer.remote(key, scope, body)
            try:
                async for message in messages:
                    await answer.take(message)
                return
            except BackPressureError:
                break
            except RayActorError:
                if answer.has_begun:
                    raise
            finally:
                messages.cancel()  # without effect on an answer that is complete
        raise ApiError(503, "no replica could answer; try again")


class _Answer:
    """Sends an answer when nothing of it can be lost any more: a stream with its first event, others when complete."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[MutableMapping[str, Any]] = []
        self._is_stream = False
        self.has_begun = False

    async def take(self, message: MutableMapping[str, Any]) -> None:
        """Send a message, or hold it."""
        self._held.append(message)
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message.get("headers", ()) if bytes(name).lower() == b"content-type"]
            self._is_stream = any(bytes(kind).startswith(b"text/event-stream") for kind in kinds)
        elif self._is_stream or not message.get("more_body", False):
            self.has_begun = True
            for held in self._held:
                await self._send(held)
            self._held.clear()


def _plain(scope: Scope) -> Scope:
    """Return a scope without what cannot be sent to another process."""
    names = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers")
    plain = {name: scope[name] for name in names if name in scope}
    return {**plain, "asgi": {"version": "3.0"}, "client": None, "server": None}
