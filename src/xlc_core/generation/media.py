"""Images, sound and video on their way to the engine: from bytes, a file, a data URL or, where allowed, the network."""

from __future__ import annotations

import base64
import binascii
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, NamedTuple

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, RequestTimeoutError, UnsupportedFeatureError
from xlc_core.messages import MediaPart, Message
from xlc_core.waiting import Deadline

__all__ = [
    "MAX_REMOTE_BYTES",
    "REMOTE_TIMEOUT",
    "PlacedPart",
    "data_of_base64",
    "data_of_url",
    "load",
    "placed_parts",
    "readable",
]

REMOTE_TIMEOUT = 20.0
"""Seconds that fetching one link may take."""

MAX_REMOTE_BYTES = 32 << 20
"""Bytes that one link may have."""

_CHUNK = 1 << 16
_PLURAL = {"image": "images", "audio": "sound", "video": "video"}


class PlacedPart(NamedTuple):
    """A part of a message that is no text, and where it stands, for messages to users."""

    part: MediaPart
    place: str


def placed_parts(messages: Sequence[Message], reads: frozenset[str]) -> list[PlacedPart]:
    """Find the media in a chat, in order.

    Args:
        messages: the chat.
        reads: kinds that the engine reads.

    Raises:
        UnsupportedFeatureError: there is a kind that it does not.
    """
    found = []
    for index, message in enumerate(messages):
        if isinstance(message.content, str):
            continue
        for number, part in enumerate(message.content):
            if part.type == "text":
                continue
            if part.type not in reads:
                raise _unread(index, part.type, reads)
            found.append(PlacedPart(part, f"message {index}, part {number}"))
    return found


def readable(images: bool, audio: bool, video: bool) -> frozenset[str]:
    """Return the kinds of media that an engine reads, from what its projector does; video needs ffmpeg too."""
    able = {"image": images, "audio": audio, "video": video and _has_ffmpeg()}
    return frozenset(kind for kind, is_able in able.items() if is_able)


def _has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def _unread(index: int, kind: str, reads: frozenset[str]) -> UnsupportedFeatureError:
    what = f"message {index} holds {_PLURAL[kind]}, and this engine "
    if not reads:
        return UnsupportedFeatureError(
            f"{what}has no multimodal projector to read it with; open it with mmproj='…', the mmproj GGUF file that "
            "belongs to the model, or send text only"
        )
    able = " and ".join(_PLURAL[able] for able in sorted(reads))
    remedy = (
        "install ffmpeg and ffprobe, which take it apart into images, on the PATH"
        if kind == "video" and "image" in reads
        else f"open a model whose mmproj file has an encoder for {_PLURAL[kind]}"
    )
    return UnsupportedFeatureError(f"{what}reads {able} only; {remedy}")


def load(parts: Sequence[PlacedPart], *, allow_remote: bool, deadline: Deadline) -> list[_native.MediaFile]:
    """Read the bytes of all parts. May wait for the disk and the network.

    Raises:
        InvalidRequestError: a file or URL cannot be read, or is remote and that is not allowed.
        RequestTimeoutError: the request's timeout passed before all were there.
    """
    return [_native.MediaFile(part.type, place, _bytes(part, place, allow_remote, deadline)) for part, place in parts]


def _bytes(part: MediaPart, place: str, allow_remote: bool, deadline: Deadline) -> bytes:
    if part.data is not None:
        return part.data
    if part.path is not None:
        try:
            return Path(part.path).expanduser().read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"{place}: the file '{part.path}' cannot be read: {error}") from None
    url = part.url or ""
    if url.startswith("data:"):
        try:
            return data_of_url(url)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{place}: {error}") from None
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InvalidRequestError(
            f"{place}: {_shown(url)} is no URL that can be read; give data:, http: or https:, or path= for a file"
        )
    if not allow_remote:
        raise InvalidRequestError(
            f"{place}: the link {_shown(url)} is not followed, as this engine was opened without "
            "allow_remote_media=True; give the bytes, a path or a data: URL"
        )
    return _fetch(url, place, deadline)


def data_of_url(url: str) -> bytes:
    """Decode a data: URL.

    Raises:
        InvalidRequestError: it is none, or its base64 is broken.
    """
    header, comma, encoded = url.partition(",")
    if not header.startswith("data:") or not comma:
        raise InvalidRequestError(f"{_shown(url)} is no data: URL")
    if not header.endswith(";base64"):
        return urllib.parse.unquote_to_bytes(encoded)
    return data_of_base64(encoded)


def data_of_base64(encoded: str) -> bytes:
    """Decode base64, with or without line breaks.

    Raises:
        InvalidRequestError: it is broken.
    """
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"{_shown(encoded)} is not valid base64: {error}") from None


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the web only."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError(f"it redirects to {_shown(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, place: str, deadline: Deadline) -> bytes:
    limit = Deadline(REMOTE_TIMEOUT)

    def seconds_left() -> float:
        asked = deadline.remaining()
        left = limit.remaining() or 0.0
        if asked == 0:
            raise RequestTimeoutError(f"{place}: the request's timeout passed while {_shown(url)} was fetched")
        return left if asked is None else min(left, asked)

    try:
        opener = urllib.request.build_opener(_HttpOnly)
        request = urllib.request.Request(url, headers={"User-Agent": "xllama"})
        with opener.open(request, timeout=seconds_left()) as response:
            return b"".join(_limited(response, seconds_left, place, url))
    except TimeoutError:
        seconds_left()  # was it the request's own?
        raise InvalidRequestError(f"{place}: {_shown(url)} did not answer within {REMOTE_TIMEOUT:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        seconds_left()
        raise InvalidRequestError(f"{place}: {_shown(url)} could not be fetched: {error}") from None


def _limited(response: Any, seconds_left: Any, place: str, url: str) -> Iterator[bytes]:
    n_bytes = 0
    while chunk := response.read1(_CHUNK):
        n_bytes += len(chunk)
        if n_bytes > MAX_REMOTE_BYTES:
            raise InvalidRequestError(f"{place}: {_shown(url)} has more than {MAX_REMOTE_BYTES >> 20} MiB")
        if seconds_left() <= 0:
            raise TimeoutError
        yield chunk


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
