"""Reads images, sound and video for the engine: from bytes, a file, a data URL or, if allowed, the network."""

from __future__ import annotations

import base64
import binascii
import shutil
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.generation.left_out import LeftOut
from xlc_core.generation.local_media import permitted_path, read_media_file
from xlc_core.generation.remote_media import LinkReader, shorten
from xlc_core.messages import MediaPart, Message, is_from_mapping
from xlc_core.options.media_hosts import RemoteMedia
from xlc_core.waiting import Deadline

__all__ = [
    "MAX_PARTS",
    "MediaRules",
    "PlacedPart",
    "decode_base64",
    "decode_data_url",
    "load",
    "placed_parts",
    "readable",
    "without_unreadable",
]

MAX_PARTS = 256
"""Images, sounds and videos that one request may hold."""

_PLURAL = {"image": "images", "audio": "sound", "video": "video"}


@dataclass(frozen=True)
class MediaRules:
    """The files and links that messages may name: ``allow_local_media`` and ``allow_remote_media`` of EngineOptions.

    Attributes:
        local: the files that parts which were dictionaries may name.
        remote: the links that are followed.
    """

    local: bool | str | Path = False
    remote: RemoteMedia = False


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
        InvalidRequestError: there are more than ``MAX_PARTS``.
    """
    found: list[PlacedPart] = []
    for index, message in enumerate(messages):
        if isinstance(message.content, str):
            continue
        for number, part in enumerate(message.content):
            if part.type == "text":
                continue
            if part.type not in reads:
                raise _unread(index, part.type, reads)
            found.append(PlacedPart(part, f"message {index}, part {number}"))
            if len(found) > MAX_PARTS:
                raise InvalidRequestError(
                    f"the messages hold more than {MAX_PARTS} images, sounds and videos; leave some of them out"
                )
    return found


def without_unreadable(messages: Sequence[Message], reads: frozenset[str]) -> tuple[Message, ...]:
    """Return a chat without the media that an assistant has made and this engine cannot read, with a warning."""
    left_out = LeftOut()
    out = []
    for index, message in enumerate(messages):
        if message.role == "assistant" and not isinstance(message.content, str):
            kept = tuple(part for part in message.content if part.type == "text" or part.type in reads)
            if len(kept) < len(message.content):
                left_out.add("images, sounds and videos of the assistant's", f"message {index}")
                message = message.model_copy(update={"content": kept})
        out.append(message)
    left_out.warn()
    return tuple(out)


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


def load(parts: Sequence[PlacedPart], *, rules: MediaRules, deadline: Deadline) -> list[_native.MediaFile]:
    """Read the bytes of all parts. May wait for the disk and the network.

    Raises:
        InvalidRequestError: a file or link cannot be read, or is not allowed.
        RequestTimeoutError: the request's timeout passed before all were read.
    """
    links = LinkReader(rules.remote, deadline)
    return [_native.MediaFile(part.type, place, _bytes(part, place, rules, links, deadline)) for part, place in parts]


def _bytes(part: MediaPart, place: str, rules: MediaRules, links: LinkReader, deadline: Deadline) -> bytes:
    if part.data is not None:
        return part.data
    if part.path is not None:
        if not is_from_mapping(part):
            return read_media_file(Path(part.path), place, deadline)
        named = permitted_path(part.path, rules.local, place)
        return read_media_file(named, place, deadline, follow_link=rules.local is True)
    url = part.url or ""
    if url.startswith("data:"):
        try:
            return decode_data_url(url)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{place}: {error}") from None
    if url.partition(":")[0].lower() not in ("http", "https"):
        raise InvalidRequestError(
            f"{place}: {shorten(url)} is not a URL that can be read; use data:, http: or https:, or path= for a file"
        )
    return links.fetch(url, place)


def decode_data_url(url: str) -> bytes:
    """Decode a data: URL.

    Raises:
        InvalidRequestError: it is not a data: URL, or its base64 is broken.
    """
    header, comma, encoded = url.partition(",")
    if not header.startswith("data:") or not comma:
        raise InvalidRequestError(f"{shorten(url)} is not a data: URL")
    if header.endswith(";base64"):
        return decode_base64(encoded)
    try:
        return urllib.parse.unquote_to_bytes(encoded)
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{shorten(url)} is not a data: URL: it holds a lone surrogate") from None


def decode_base64(encoded: str) -> bytes:
    """Return the bytes that base64 encodes.

    Args:
        encoded: the base64, with or without line breaks.

    Raises:
        InvalidRequestError: it is broken.
    """
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"{shorten(encoded)} is not valid base64: {error}") from None
