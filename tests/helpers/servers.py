"""A server of ours on a free port of this machine, on a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn

import xlc_core as xlc
from helpers.waiting import wait_until
from xlc_server import create_app
from xlc_server.portless import sync_transport
from xlc_server.serving import make_server

__all__ = ["SMALL_MODELS", "WAYS", "reached", "running_server", "served", "server_on_thread"]

SMALL_MODELS: Any = {
    "chat": {"model": "smollm2-135m-instruct", "n_ctx": 2048, "n_parallel": 4},
    "embed": "all-minilm-l6-v2",
    "rank": "xllama-rerank-mini",
}
"""A pool's models: one that chats, one that embeds and one that ranks."""

WAYS = ("socket", "portless")


@contextlib.contextmanager
def running_server(pool: xlc.EnginePool, **options: Any) -> Iterator[str]:
    """Serve a pool, and yield the server's address."""
    with server_on_thread(pool, **options) as (_, address):
        yield address


@contextlib.contextmanager
def server_on_thread(pool: xlc.EnginePool, **options: Any) -> Iterator[tuple[uvicorn.Server, str]]:
    """Serve a pool, and yield the server and its address."""
    server = make_server(pool, port=0, **options)
    with served(server) as address:
        yield server, address


@contextlib.contextmanager
def served(server: uvicorn.Server) -> Iterator[str]:
    """Run a server that is not running yet, and yield its address."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def reached(way: str, pool: xlc.EnginePool, **options: Any) -> Iterator[httpx.Client]:
    """Yield a client of a pool's application: over a socket, or without a port."""
    if way == "socket":
        with running_server(pool, **options) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield client
    else:
        transport = sync_transport(httpx, create_app(pool, **options), lambda: None)
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as client:
            yield client
