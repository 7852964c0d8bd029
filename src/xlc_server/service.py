"""The state that all endpoints of one application share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from xlc_core import EnginePool, ModelNotFoundError, PoolLease
from xlc_server.errors import ApiError
from xlc_server.options import ServerOptions

__all__ = ["Body", "LoraScale", "Service", "new_id", "now", "scales_by_name"]


class Body(BaseModel):
    """Base of the bodies of requests. Unknown fields are refused, as OpenAI does, and texts for numbers.

    Attributes:
        from_url: fields that stand in the path or the query of the request's URL.
        model: the model that is asked for; empty for the first one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    from_url: ClassVar[tuple[str, ...]] = ()

    model: str = ""


class LoraScale(BaseModel):
    """The scale of one LoRA adapter, which is named by its number, as llama-server does."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: int = Field(ge=0)
    scale: float


def scales_by_name(scales: Sequence[LoraScale], names: Sequence[str]) -> dict[str, float]:
    """Return the scales of all adapters by name: 0 for those that a list of llama-server's form leaves out.

    Raises:
        ApiError: there is no adapter with such a number.
    """
    found = dict.fromkeys(names, 0.0)
    for wanted in scales:
        if wanted.id >= len(names):
            raise ApiError(400, f"id {wanted.id}: the model has {len(names)} LoRA adapters, from 0", param="id")
        found[names[wanted.id]] = wanted.scale
    return found


_MOST_LISTED = 1000


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

    async def name_adapters(self, body: Body) -> None:
        """Replace scales of LoRA adapters in llama-server's form, by number, with those by name."""
        scales = getattr(body, "lora", None)
        if isinstance(scales, list):
            name = self.model_name(body)
            await self.require_listed(name)
            options = await asyncio.to_thread(self.pool.options, name)
            setattr(body, "lora", scales_by_name(scales, [file.key for file in options.lora]))  # noqa: B010

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


def new_id(kind: str) -> str:
    """Return an id such as ``chatcmpl-5f…``."""
    return f"{kind}-{uuid.uuid4().hex}"


def now() -> int:
    """Return the time as OpenAI writes it."""
    return int(time.time())
