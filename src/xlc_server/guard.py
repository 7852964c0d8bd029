"""Who may call the application: keys, names of this host, and programs on this machine."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import urllib.parse
from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from xlc_server.dialects import dialect_of
from xlc_server.errors import ApiError
from xlc_server.options import ServerOptions
from xlc_server.page import PAGE_PATHS
from xlc_server.sending import Receive, Scope, Send, send_error

__all__ = ["Guard", "guarding"]

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OPEN_PATHS = frozenset({"/health"})


def guarding(options: ServerOptions) -> list[Middleware]:
    """Return what stands before an application: its guard, and before that what answers web pages of other origins."""
    guard = Middleware(Guard, options=options)
    if not options.cors_origins:
        return [guard]
    origins, methods = options.cors_origins, ("GET", "POST")
    return [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=("*",)), guard]


class Guard:
    """Refuses requests that may not be answered, before their body is read.

    Without a key, a web page that a user of this machine visits must not reach the application: a name of the page's
    own that resolves to this machine (DNS rebinding) is refused by the ``Host`` header, and a request of the page's
    by the ``Origin`` header.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], options: ServerOptions) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in options.api_keys]
        self._hosts = frozenset(host.lower() for host in options.allowed_hosts)
        self._origins = frozenset(options.cors_origins)
        self._protects = options.protect
        self._open_paths = _OPEN_PATHS | PAGE_PATHS if options.ui else _OPEN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._protects:
            try:
                self._check(scope)
            except ApiError as error:
                await send_error(send, error, dialect_of(_path(scope)))
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        self._check_host(headers.get(b"host", b"").decode("latin-1"))
        if not self._digests:
            self._check_origin(headers.get(b"origin", b"").decode("latin-1"))
            _check_client(scope.get("client"))
        elif _path(scope) not in self._open_paths and not self._has_key(headers):
            raise ApiError(
                401,
                "the key is missing or wrong; send it as `Authorization: Bearer …`",
                kind="authentication_error",
                code="invalid_api_key",
            )

    def _check_host(self, host: str) -> None:
        allowed = self._hosts if self._digests else self._hosts | _LOCAL_NAMES
        if allowed and _without_port(host) not in allowed:
            raise ApiError(
                403,
                f"the host {host!r:.200} is not served; allowed_hosts names those that are",
                code="host_not_allowed",
            )

    def _check_origin(self, origin: str) -> None:
        if not origin or origin in self._origins or "*" in self._origins:
            return
        if _without_port(urllib.parse.urlsplit(origin).netloc) not in self._hosts | _LOCAL_NAMES:
            raise ApiError(
                403,
                f"web pages of {origin!r:.200} may not call this server; cors_origins names those that may",
                code="origin_not_allowed",
            )

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        given = _digest(key.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b""))
        return sum(hmac.compare_digest(given, digest) for digest in self._digests) > 0  # all, in the same time


def _check_client(client: tuple[str, int] | None) -> None:
    """Refuse other machines. Callers without an address are in this process, or use a socket file."""
    try:
        address = ipaddress.ip_address(client[0]) if client else None
    except ValueError:
        return
    if address is not None and not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
        raise ApiError(
            403, "without a key this server answers programs on its own machine only", code="key_not_configured"
        )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return (name if colon and port.isdigit() else host.lower()).removesuffix(".")


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
