"""Fetching a link to an image, sound or video, within limits of time and size."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING

from xlc_core.errors import InvalidRequestError, RequestTimeoutError

if TYPE_CHECKING:
    from xlc_core.waiting import Deadline

__all__ = ["MAX_REMOTE_BYTES", "REMOTE_TIMEOUT", "fetch", "shorten"]

REMOTE_TIMEOUT = 20.0
"""Seconds that fetching one link may take, from the look-up of the host to the last byte."""

MAX_REMOTE_BYTES = 32 << 20
"""Bytes that one link may have."""

_MAX_REDIRECTS = 5


def fetch(url: str, place: str, deadline: Deadline) -> bytes:
    """Return the bytes behind a link. httpx follows redirects to http: and https: only.

    httpx limits the time of each read, which a server could evade by sending a byte now and then. So the whole download
    is one task with a time limit, on a thread with its own event loop.

    Args:
        url: the link, http: or https:.
        place: the link's place in the chat, for error messages.
        deadline: the request's deadline.

    Raises:
        InvalidRequestError: the link cannot be fetched, is too large, or takes longer than ``REMOTE_TIMEOUT``.
        RequestTimeoutError: the request's timeout passed.
    """
    import httpx  # imported here, because it takes a tenth of a second and few chats have links

    left = deadline.remaining()
    seconds = REMOTE_TIMEOUT if left is None else min(left, REMOTE_TIMEOUT)
    result: concurrent.futures.Future[bytes] = concurrent.futures.Future()

    async def download() -> bytes:
        return await asyncio.wait_for(_download(url), seconds)

    def run() -> None:
        try:
            result.set_result(asyncio.run(download()))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="xllama-fetch", daemon=True).start()
    try:
        return result.result(seconds)
    except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError):
        if left is not None and left <= REMOTE_TIMEOUT:
            message = f"{place}: the request's timeout passed while {shorten(url)} was fetched"
            raise RequestTimeoutError(message) from None
        raise InvalidRequestError(f"{place}: {shorten(url)} did not answer within {REMOTE_TIMEOUT:g} s") from None
    except _TooLargeError:
        raise InvalidRequestError(f"{place}: {shorten(url)} has more than {MAX_REMOTE_BYTES >> 20} MiB") from None
    except httpx.TooManyRedirects:
        reason = f"it redirects more than {_MAX_REDIRECTS} times"
    except httpx.HTTPStatusError as error:
        reason = f"HTTP error {error.response.status_code} {error.response.reason_phrase}"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
    raise InvalidRequestError(f"{place}: {shorten(url)} could not be fetched: {reason}")


class _TooLargeError(Exception):
    """The answer has more than MAX_REMOTE_BYTES."""


async def _download(url: str) -> bytes:
    import httpx

    # Uncompressed, so that a small response cannot expand to a large one.
    headers = {"User-Agent": "xllama", "Accept-Encoding": "identity"}
    body = bytearray()
    async with (
        httpx.AsyncClient(headers=headers, timeout=None, follow_redirects=True, max_redirects=_MAX_REDIRECTS) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_REMOTE_BYTES:
                raise _TooLargeError
    return bytes(body)


def shorten(text: str) -> str:
    """Return at most 80 characters of a text, as a literal for messages."""
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
