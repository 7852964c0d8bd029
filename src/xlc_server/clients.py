"""OpenAI's own clients, and HTTP clients, with models of this process behind them instead of a server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
from typing_extensions import Unpack

from xlc_core import EngineKwargs, EnginePool, PoolNames
from xlc_server.app import create_app
from xlc_server.portless import async_transport, sync_transport

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["async_http_client", "async_openai_client", "http_client", "openai_client"]

_URL = "http://localhost/v1"
_KEY = "not-needed"
_OPTIONS: dict[str, Any] = {"max_requests": 1_000_000, "allow_any_model": True}
"""Whoever has the client is a part of the program."""


def openai_client(models: EnginePool | PoolNames, **options: Unpack[EngineKwargs]) -> OpenAI:
    """Return an ``openai.OpenAI`` that is answered by models in this process, without a port.

    A model is loaded with its first request. Leaving a stream ends its generation. Closing the client closes its
    models, unless they are a pool of yours. OpenAI's client waits ten minutes for an answer, or for the next piece of a
    stream, unless its own ``timeout`` is set.

    Args:
        models: a model, several, or names for them, as EnginePool takes them; or a pool.
        **options: fields of EngineOptions for each model; not with a pool.

    Raises:
        ImportError: the package ``openai`` is not installed.
        InvalidRequestError: an option is wrong.
        TypeError: there are options beside a pool.
    """
    openai = _import_openai()
    module = _http_module(openai.DefaultHttpxClient)
    app, close = _app(models, options)
    client = openai.DefaultHttpxClient(transport=sync_transport(module, app, close), base_url=_URL)
    made: OpenAI = openai.OpenAI(base_url=_URL, api_key=_KEY, max_retries=0, http_client=client)
    return made


def async_openai_client(models: EnginePool | PoolNames, **options: Unpack[EngineKwargs]) -> AsyncOpenAI:
    """Return an ``openai.AsyncOpenAI`` that is answered by models in this process; see openai_client.

    Loading a model and generating do not block the event loop.
    """
    openai = _import_openai()
    module = _http_module(openai.DefaultAsyncHttpxClient)
    app, close = _app(models, options)
    client = openai.DefaultAsyncHttpxClient(transport=async_transport(module, app, close), base_url=_URL)
    made: AsyncOpenAI = openai.AsyncOpenAI(base_url=_URL, api_key=_KEY, max_retries=0, http_client=client)
    return made


def http_client(models: EnginePool | PoolNames, **options: Unpack[EngineKwargs]) -> httpx.Client:
    """Return an ``httpx.Client`` that is answered by models in this process: for libraries that take one.

    The base URL of such a library must be on a local name, such as ``http://localhost/v1``. The client itself does not
    limit how long an answer takes. For the rest see openai_client.

    Raises:
        InvalidRequestError: an option is wrong.
        TypeError: there are options beside a pool.
    """
    app, close = _app(models, options)
    return httpx.Client(transport=sync_transport(httpx, app, close), base_url=_URL, timeout=None)


def async_http_client(models: EnginePool | PoolNames, **options: Unpack[EngineKwargs]) -> httpx.AsyncClient:
    """Return an ``httpx.AsyncClient`` that is answered by models in this process; see http_client."""
    app, close = _app(models, options)
    return httpx.AsyncClient(transport=async_transport(httpx, app, close), base_url=_URL, timeout=None)


def _app(models: EnginePool | PoolNames, options: EngineKwargs) -> tuple[Any, Callable[[], None]]:
    if isinstance(models, EnginePool):
        if options:
            raise TypeError("a pool has the options of its models; they cannot be given again")
        return create_app(models, **_OPTIONS), lambda: None
    pool = EnginePool(models, others="none", **options)
    return create_app(pool, **_OPTIONS), pool.close


def _import_openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise ImportError("this client is that of the package openai: pip install openai") from error
    return openai


def _http_module(client: type[Any]) -> Any:
    """Return the module of the HTTP client that openai uses: httpx2 in newer versions, before it httpx."""
    base = next(cls for cls in client.__mro__ if cls.__module__.split(".")[0] in ("httpx", "httpx2"))
    return sys.modules[base.__module__.split(".")[0]]
