"""What goes into a chat: messages, the parts of a message, tool calls and tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core.options.base import Options

__all__ = [
    "AudioPart",
    "ImagePart",
    "MediaPart",
    "Message",
    "Role",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "VideoPart",
]

Role = Literal["system", "user", "assistant", "tool", "developer"]

ToolChoice = Literal["auto", "none", "required"] | str
"""``auto``: the model decides; ``none``: no call; ``required``: some call; any other string: a call of that tool."""


class TextPart(Options):
    """Text inside a message of several parts."""

    type: Literal["text"] = "text"
    text: str


class _Media(Options):
    """What images, sound and video have in common: exactly one of three ways to say where the bytes are."""

    data: bytes | None = Field(None, strict=True, repr=False)
    path: str | Path | None = None
    url: str | None = Field(None, repr=False)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in ("data", "path", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of data, path and url, not {' and '.join(given) or 'none'}")
        return self


class ImagePart(_Media):
    """An image inside a message: PNG, JPEG, GIF, BMP; WebP where ffmpeg is installed.

    Attributes:
        data: its bytes, encoded so.
        path: a file with them, read when the request is made.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media=True``.
    """

    type: Literal["image"] = "image"


class AudioPart(_Media):
    """A sound inside a message: WAV, MP3 or FLAC.

    Attributes:
        data: its bytes, encoded so.
        path: a file with them, read when the request is made.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media=True``.
    """

    type: Literal["audio"] = "audio"


class VideoPart(_Media):
    """A video inside a message, read as pictures (without its sound) by the programs ffmpeg and ffprobe.

    Attributes:
        data: its bytes, encoded in any way that these read.
        path: a file with them, read when the request is made.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media=True``.
    """

    type: Literal["video"] = "video"


MediaPart = ImagePart | AudioPart | VideoPart

Part = Annotated[TextPart | ImagePart | AudioPart | VideoPart, Field(discriminator="type")]


class ToolCall(Options):
    """One call that the model makes.

    Attributes:
        id: names the call; a tool message answers it by this.
        name: the tool's name.
        arguments: the arguments as JSON text, as the model wrote it.
    """

    id: str = ""
    name: str
    arguments: str = "{}"


class Message(Options):
    """One message of a chat.

    Attributes:
        role: who speaks.
        content: the text, or a list of parts; may be empty for an assistant that only calls tools.
        reasoning: the assistant's thinking, given back to templates that want it.
        tool_calls: the calls that an assistant made.
        tool_call_id: in a tool message, the call that it answers.
        name: the tool's name in a tool message.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


class Tool(Options):
    """A function that the model may call.

    Attributes:
        name: as the model calls it.
        description: when and how to use it, for the model.
        parameters: JSON Schema of the arguments, an object.
    """

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
