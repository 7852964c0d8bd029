"""Images, sounds, videos and documents in messages, in the forms of all providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xlc_core.errors import InvalidRequestError
from xlc_core.generation.media import decode_base64, decode_data_url
from xlc_core.messages import AudioPart, ImagePart, MediaPart, TextPart, VideoPart
from xlc_core.texts import check_text

__all__ = ["MEDIA_KINDS", "OpaqueReferenceError", "is_own_form", "read_document", "read_media"]

MEDIA_KINDS: dict[str, type[MediaPart]] = {
    "image": ImagePart,
    "image_url": ImagePart,
    "input_image": ImagePart,
    "audio": AudioPart,
    "audio_url": AudioPart,
    "input_audio": AudioPart,
    "video": VideoPart,
    "video_url": VideoPart,
    "input_video": VideoPart,
}

_BYTES = ("base64", "data", "bytes", "file_data")
_LINKS = ("url", "image_url", "audio_url", "video_url", "file_url", "uri")
_REFERENCES = ("file_id", "file_uri", "fileUri", "s3Location", "s3_location", "id")
_MIME_TYPES = ("mime_type", "media_type", "mimeType", "format")
_TITLES = ("title", "filename", "name")
_TEXT_TYPES = {
    *("json", "xml", "yaml", "toml", "csv", "html", "md", "markdown", "txt", "plain", "javascript", "x-yaml"),
    *("x-sh", "sql", "x-python", "rtf", "tsv", "xhtml+xml", "ld+json", "x-ndjson"),
}


class OpaqueReferenceError(InvalidRequestError):
    """A block names a file that only its provider has."""


@dataclass
class _Source:
    """Where the bytes of a block are: exactly one field is set, or none for a block without any."""

    data: bytes | None = None
    url: str | None = None
    text: str | None = None
    reference: str | None = None


def is_own_form(block: Mapping[str, Any]) -> bool:
    """Return whether a block is written as the fields of ImagePart, AudioPart or VideoPart."""
    return block.get("type") in ("image", "audio", "video") and (
        "path" in block or isinstance(block.get("data"), bytes) or block.keys() <= {"type", "url"}
    )


def read_media(block: Mapping[str, Any], kind: str) -> MediaPart:
    """Return the image, sound or video of a block.

    Args:
        block: what holds its bytes or its link.
        kind: a key of MEDIA_KINDS.

    Raises:
        OpaqueReferenceError: only the provider has its bytes.
        InvalidRequestError: its base64 is broken, or it has no source.
    """
    source = _source(block)
    if source.url is not None and ";base64," in source.url[:200] and source.url.startswith("data:"):
        source.data = decode_data_url(source.url)
    if source.data is not None:
        return MEDIA_KINDS[kind](data=source.data)
    if source.url is not None:
        return MEDIA_KINDS[kind](url=source.url)
    if source.reference is not None:
        raise OpaqueReferenceError(
            f"a block {kind!r} must carry its bytes as base64, or a URL; it names the file {source.reference!r}, "
            "which only its provider has"
        )
    raise InvalidRequestError(f"a block {kind!r} must carry its bytes as base64, or a URL")


def read_document(block: Mapping[str, Any]) -> TextPart | MediaPart:
    """Return the text of a document, or the picture, sound or video that it is.

    Raises:
        OpaqueReferenceError: only the provider has it.
        InvalidRequestError: it is of another kind, such as PDF, or a link.
    """
    source = _source(block)
    if source.text is not None:
        return TextPart(text=check_text(source.text, "the text of a document"))
    title = next((str(block[name]) for name in _TITLES if block.get(name)), "")
    kind = _mime_type(block)
    if source.reference is not None:
        raise OpaqueReferenceError(
            f"the document {title!r} is the file {source.reference!r}, which only its provider has; give its text"
        )
    if source.url is not None and source.url.startswith("data:"):
        kind = source.url[5:].partition(",")[0].partition(";")[0] or kind
        source.data = decode_data_url(source.url)
    if source.data is None:
        if source.url is None:
            raise InvalidRequestError(f"the document {title!r} has no content; give its text")
        raise OpaqueReferenceError(f"the document {title!r} is a link, which is not followed; give its text")
    for name in ("image", "audio", "video"):
        if kind.startswith(f"{name}/"):
            return MEDIA_KINDS[name](data=source.data)
    text = _as_text(source.data, kind)
    if text is None:
        raise InvalidRequestError(
            f"the document {title!r} ({kind or 'of unknown type'}) is not a text; extract its text first"
        )
    return TextPart(text=text)


def _source(block: Mapping[str, Any]) -> _Source:
    inner = block.get("source")
    if isinstance(inner, Mapping):
        if inner.get("type") == "text" and isinstance(inner.get("data"), str):
            return _Source(text=inner["data"])
        if isinstance(inner.get("text"), str):
            return _Source(text=inner["text"])
        return _source(inner)
    if block.get("source_type") == "text" and isinstance(block.get("text"), str):
        return _Source(text=block["text"])
    for name in _BYTES:
        if isinstance(block.get(name), (bytes, bytearray)):
            return _Source(data=bytes(block[name]))
        if isinstance(block.get(name), str) and block[name]:
            is_url = block[name].startswith("data:")
            return _Source(url=block[name]) if is_url else _Source(data=decode_base64(block[name]))
    for name in _LINKS:
        value = block.get(name)
        link = value.get("url") if isinstance(value, Mapping) else value
        if isinstance(link, str) and link:
            return _Source(url=link)
    for name in _REFERENCES:
        if block.get(name):
            return _Source(reference=str(block[name]))
    return _Source()


def _mime_type(block: Mapping[str, Any]) -> str:
    inner = block.get("source")
    for holder in (block, inner if isinstance(inner, Mapping) else {}):
        for name in _MIME_TYPES:
            if isinstance(holder.get(name), str):
                return str(holder[name]).lower()
    return ""


def _as_text(data: bytes, kind: str) -> str | None:
    subtype = kind.rpartition("/")[2].partition(";")[0]
    if kind and not kind.startswith("text/") and subtype not in _TEXT_TYPES:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if not kind and ("\0" in text or text.startswith("%PDF")) else text
