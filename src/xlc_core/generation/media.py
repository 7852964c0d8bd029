"""Reads images, sound and video for the engine: from bytes, a file, a data URL or, if allowed, the network."""

from __future__ import annotations

import base64
import binascii
import shutil
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.generation.remote_media import fetch, shorten
from xlc_core.messages import MediaPart, Message
from xlc_core.waiting import Deadline

__all__ = [
    "PlacedPart",
    "decode_base64",
    "decode_data_url",
    "load",
    "placed_parts",
    "readable",
]

_PLURAL = {"image": "images", "audio": "sound", "video": "video"}


class PlacedPart(NamedTuple):
    """A media part of a message, and its place, for error messages."""

    part: MediaPart
    place: str


def placed_parts(messages: Sequence[Message], reads: frozenset[str]) -> list[PlacedPart]:
    """Return the media in a chat, in order.

    Args:
        messages: the chat.
        reads: kinds that the engine can read.

    Raises:
        UnsupportedFeatureError: the engine cannot read one of them.
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
    """Return the kinds of media that an engine can read with its projector; video also needs ffmpeg."""
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
        "install ffmpeg and ffprobe, which split it into images, on the PATH"
        if kind == "video" and "image" in reads
        else f"open a model whose mmproj file has an encoder for {_PLURAL[kind]}"
    )
    return UnsupportedFeatureError(f"{what}reads {able} only; {remedy}")


def load(parts: Sequence[PlacedPart], *, allow_remote: bool, deadline: Deadline) -> list[_native.MediaFile]:
    """Read the bytes of all parts. May wait for the disk and the network.

    Raises:
        InvalidRequestError: a file or URL cannot be read, or is remote and that is not allowed.
        RequestTimeoutError: the request's timeout passed before all were read.
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
            return decode_data_url(url)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{place}: {error}") from None
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InvalidRequestError(
            f"{place}: {shorten(url)} is not a URL that can be read; use data:, http: or https:, or path= for a file"
        )
    if not allow_remote:
        raise InvalidRequestError(
            f"{place}: the link {shorten(url)} is not followed, as this engine was opened without "
            "allow_remote_media=True; pass the bytes, a path or a data: URL"
        )
    return fetch(url, place, deadline)


def decode_data_url(url: str) -> bytes:
    """Decode a data: URL.

    Raises:
        InvalidRequestError: it is not a data: URL, or its base64 is broken.
    """
    header, comma, encoded = url.partition(",")
    if not header.startswith("data:") or not comma:
        raise InvalidRequestError(f"{shorten(url)} is not a data: URL")
    if not header.endswith(";base64"):
        return urllib.parse.unquote_to_bytes(encoded)
    return decode_base64(encoded)


def decode_base64(encoded: str) -> bytes:
    """Decode base64, with or without line breaks.

    Raises:
        InvalidRequestError: it is broken.
    """
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"{shorten(encoded)} is not valid base64: {error}") from None
