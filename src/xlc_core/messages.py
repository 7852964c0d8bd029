"""What goes into a chat: messages, the parts of a message, tool calls and tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from xlc_core.option_base import Options

__all__ = ["AudioPart", "ImagePart", "Message", "Role", "TextPart", "Tool", "ToolCall", "ToolChoice"]

Role = Literal["system", "user", "assistant", "tool", "developer"]

ToolChoice = Literal["auto", "none", "required"] | str
"""``auto``: the model decides; ``none``: no call; ``required``: some call; any other string: a call of that tool."""


class TextPart(Options):
    """Text inside a message of several parts."""

    type: Literal["text"] = "text"
    text: str


class ImagePart(Options):
    """An image inside a message: its bytes, encoded as PNG, JPEG or what else the model's projector reads."""

    type: Literal["image"] = "image"
    data: bytes


class AudioPart(Options):
    """A sound inside a message: its bytes, encoded as WAV, MP3 or FLAC."""

    type: Literal["audio"] = "audio"
    data: bytes


Part = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]


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
