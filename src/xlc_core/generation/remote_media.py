"""Fetching links to images, sound and video: from allowed hosts at public addresses, within limits of time and size."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from xlc_core.errors import InvalidRequestError, RequestTimeoutError
from xlc_core.generation.public_addresses import Address, is_public, to_address
from xlc_core.options.media_hosts import RemoteMedia, to_network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from xlc_core.waiting import Deadline

__all__ = [
    "MAX_REMOTE_BYTES",
    "MAX_REMOTE_TOTAL_BYTES",
    "REMOTE_TIMEOUT",
    "REMOTE_TOTAL_TIMEOUT",
    "LinkReader",
    "shorten",
]

REMOTE_TIMEOUT = 20.0
"""Seconds that fetching one link may take, from the look-up of the host to the last byte."""

REMOTE_TOTAL_TIMEOUT = 60.0
"""Seconds that fetching all links of one request may take."""

MAX_REMOTE_BYTES = 32 << 20
"""Bytes that one link may have."""

MAX_REMOTE_TOTAL_BYTES = 128 << 20
"""Bytes that all links of one request may have together."""

_MAX_REDIRECTS = 5
_HEADERS = {"User-Agent": "xllama", "Accept-Encoding": "identity"}  # a small compressed response could become large

_Result = TypeVar("_Result")


class LinkReader:
    """Fetches the links of one request.

    Args:
        allowed: the links that may be followed.
        deadline: the request's deadline.
    """

    def __init__(self, allowed: RemoteMedia, deadline: Deadline) -> None:
        self._allowed = allowed
        self._deadline = deadline
        self._seconds_left = REMOTE_TOTAL_TIMEOUT
        self._bytes_left = MAX_REMOTE_TOTAL_BYTES

    def fetch(self, url: str, place: str) -> bytes:
        """Return the bytes behind a link.

        Redirects are followed to http: and https: only. Each host is looked up once, all its addresses are checked, and
        the connection goes to an address that was checked. Proxies that the environment names are not used.

        Args:
            url: the link, http: or https:.
            place: the link's place in the chat, for error messages.

        Raises:
            InvalidRequestError: the link is not allowed, cannot be fetched, is too large, or takes too long.
            RequestTimeoutError: the request's timeout passed.
        """
        if self._allowed is False:
            raise InvalidRequestError(
                f"{place}: the link {shorten(url)} is not followed, as this engine was opened without "
                "allow_remote_media; pass the bytes, a path or a data: URL"
            )
        begin = time.monotonic()
        left = self._deadline.remaining()
        limit = min(REMOTE_TIMEOUT, self._seconds_left)
        seconds = limit if left is None else min(left, limit)
        largest = min(MAX_REMOTE_BYTES, self._bytes_left)
        try:
            data = _run_for(lambda: _download(url, self._allowed, largest), seconds)
        except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError):
            if left is not None and left <= limit:
                message = f"{place}: the request's timeout passed while {shorten(url)} was fetched"
                raise RequestTimeoutError(message) from None
            raise InvalidRequestError(f"{place}: {shorten(url)} did not answer within {limit:g} s") from None
        except _RefusedError as error:
            raise InvalidRequestError(f"{place}: {shorten(url)} could not be fetched: {error}") from None
        finally:
            self._seconds_left = max(0.0, self._seconds_left - (time.monotonic() - begin))
        self._bytes_left -= len(data)
        return data


class _RefusedError(Exception):
    """A link cannot or may not be fetched; the message says why."""


def _run_for(work: Callable[[], Awaitable[_Result]], seconds: float) -> _Result:
    """Run work on a thread with its own event loop, for a limited time.

    httpx limits the time of each read, which a server could evade by sending a byte now and then. So the whole work is
    one task with a time limit.
    """
    result: concurrent.futures.Future[_Result] = concurrent.futures.Future()

    async def limited() -> _Result:
        return await asyncio.wait_for(work(), seconds)

    def run() -> None:
        try:
            result.set_result(asyncio.run(limited()))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="xllama-fetch", daemon=True).start()
    return result.result(seconds)


async def _download(url: str, allowed: RemoteMedia, largest: int) -> bytes:
    import httpx  # imported here, because it takes a tenth of a second and few chats have links

    context = httpx.create_ssl_context()  # with the certificates that SSL_CERT_FILE names
    async with httpx.AsyncClient(headers=_HEADERS, timeout=None, trust_env=False, verify=context) as client:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                target = httpx.URL(url)
                response = await _connect(client, target, await _addresses(target, allowed))
                try:
                    if not response.has_redirect_location:
                        return await _body(response, largest)
                    url = str(target.join(response.headers["Location"]))
                finally:
                    await response.aclose()
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                raise _RefusedError(str(error) or type(error).__name__) from None
            client.cookies.clear()  # they are kept by address, which several hosts may share
    raise _RefusedError(f"it redirects more than {_MAX_REDIRECTS} times")


async def _connect(client: httpx.AsyncClient, target: httpx.URL, addresses: list[Address]) -> httpx.Response:
    """Send the request to the first address that takes it, in the name of the host."""
    import httpx

    host = target.raw_host.decode("ascii")
    for index, address in enumerate(addresses):
        request = client.build_request(
            "GET",
            target.copy_with(host=str(address)),
            headers={"Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": host},
        )
        try:
            return await client.send(request, stream=True)
        except httpx.ConnectError:
            if index + 1 == len(addresses):
                raise
    raise _RefusedError(f"the host {host!r} has no address")


async def _body(response: httpx.Response, largest: int) -> bytes:
    if response.is_error:
        raise _RefusedError(f"HTTP error {response.status_code} {response.reason_phrase}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > largest:
            raise _RefusedError(f"it has more than {largest / (1 << 20):g} MiB, which are left for this link")
    return bytes(body)


async def _addresses(target: httpx.URL, allowed: RemoteMedia) -> list[Address]:
    """Return the addresses of a link's host.

    Raises:
        _RefusedError: the link is not allowed, or one of the addresses is not public and not allowed by itself.
    """
    if target.scheme not in ("http", "https"):
        raise _RefusedError(f"unsupported protocol '{target.scheme}://'; use http: or https:")
    networks = []
    if isinstance(allowed, frozenset):
        networks = [network for host in allowed if (network := to_network(host))]
        names = {target.host.rstrip("."), target.raw_host.decode("ascii").rstrip(".")}
        literal = to_network(target.host)
        if not names & allowed and not (literal and any(literal.network_address in network for network in networks)):
            raise _RefusedError(f"the host {target.host!r} is not in allow_remote_media")
    elif callable(allowed) and not allowed(str(target)):
        raise _RefusedError("the function in allow_remote_media refuses it")
    port = target.port or (443 if target.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(to_address(str(entry[4][0])) for entry in found))
    for address in addresses:
        if not is_public(address) and not any(address in network for network in networks):
            raise _RefusedError(
                f"the address {address} of its host is not public; name the host and its address in "
                "allow_remote_media to allow it"
            )
    return addresses


def shorten(text: str) -> str:
    """Return at most 80 characters of a text, as a literal for messages."""
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
