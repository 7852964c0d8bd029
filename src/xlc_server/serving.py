"""The application under uvicorn: ``xllama serve``."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import sys
from typing import Any

import uvicorn

from xlc_core import EnginePool
from xlc_server.app import create_app
from xlc_server.portless import App

__all__ = ["is_loopback", "make_server", "run_server"]


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def make_server(
    pool: EnginePool,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    grace: int = 30,
    access_log: bool = True,
    ui: bool = True,
    **options: Any,
) -> uvicorn.Server:
    """Return a server that is not running yet.

    Args:
        pool: the models.
        host: the address to listen on. On any but a loopback address a key is required: without ``api_keys``, one is
            made and printed once.
        port: the port; 0 chooses a free one.
        grace: seconds that answers may go on when the server is asked to end; then their streams end with an error.
        access_log: whether each request is a line of the log; keys and texts never are.
        ui: whether ``/`` is a page to chat and to try constraints.
        **options: fields of ServerOptions.
    """
    if not options.get("api_keys") and not is_loopback(host):
        key = secrets.token_urlsafe(32)
        options["api_keys"] = (key,)
        print(f"API key, shown only now (XLLAMA_API_KEY or --api-key sets one): {key}", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        _without_traces(create_app(pool, ui=ui, **options)),
        host=host,
        port=port,
        timeout_graceful_shutdown=grace,
        access_log=access_log,
        server_header=False,
        ws="none",
        proxy_headers=False,  # or a header could say that a caller is on this machine
    )
    return uvicorn.Server(config)


def _without_traces(app: App) -> App:
    """Return an application whose requests may be cancelled: uvicorn would log each as an exception."""

    async def quiet(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet


def run_server(pool: EnginePool, **options: Any) -> None:
    """Serve until Ctrl+C or SIGTERM; see make_server. The pool is closed at the end."""
    try:
        make_server(pool, **options).run()
    finally:
        pool.close()
