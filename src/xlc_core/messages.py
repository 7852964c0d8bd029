"""The content of a chat: messages, the parts of a message, tool calls and tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, ValidatorFunctionWrapHandler, WrapValidator, field_validator, model_validator
from typing_extensions import Self

from xlc_core.constraints.tool_types import ToolSource, describe_source
from xlc_core.nesting import from_json
from xlc_core.options.base import Options
from xlc_core.texts import plain_path

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
    "is_from_mapping",
]

Role = Literal["system", "user", "assistant", "tool", "developer"]
"""The author of a message; ``developer`` is another name for ``system``."""

ToolChoice = Literal["auto", "none", "required"] | str
"""``auto``: the model decides; ``none``: no call; ``required``: some call; any other string: a call of that tool."""


class TextPart(Options):
    """Text inside a message of several parts.

    Attributes:
        text: the text.
    """

    type: Literal["text"] = "text"
    text: str


class _Media(Options):
    """The common fields of images, sound and video: exactly one of three sources of the bytes."""

    _from_mapping: ClassVar[bool] = False  # or an entry of __dict__, as equal parts are equal however they were made

    data: bytes | None = Field(None, strict=True, repr=False)
    path: str | Path | None = None
    url: str | None = Field(None, repr=False)

    @field_validator("path", mode="before")
    @classmethod
    def _read_path(cls, value: Any) -> Any:
        return plain_path(value)

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [name for name in ("data", "path", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of data, path and url, not {' and '.join(given) or 'none'}")
        return self


class ImagePart(_Media):
    """An image inside a message: PNG, JPEG, GIF, BMP; WebP where ffmpeg is installed.

    Attributes:
        data: the bytes of such a file; None: another field has it.
        path: such a file, read when the request is made; None: another field has it.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media``.
    """

    type: Literal["image"] = "image"


class AudioPart(_Media):
    """A sound inside a message: WAV, MP3 or FLAC.

    Attributes:
        data: the bytes of such a file; None: another field has it.
        path: such a file, read when the request is made; None: another field has it.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media``.
    """

    type: Literal["audio"] = "audio"


class VideoPart(_Media):
    """A video inside a message, read as pictures (without its sound) by the programs ffmpeg and ffprobe.

    Attributes:
        data: the bytes of a video file in any format that these programs read; None: another field has it.
        path: such a file, read when the request is made; None: another field has it.
        url: a ``data:`` URL; ``http:`` and ``https:`` for engines opened with ``allow_remote_media``.
    """

    type: Literal["video"] = "video"


MediaPart = ImagePart | AudioPart | VideoPart
"""A part of a message that holds no text."""


def _mark_mapping(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Remember which parts were dictionaries, perhaps from outside the program: they may not name any file."""
    part = read(value)
    if isinstance(value, Mapping) and isinstance(part, _Media):
        object.__setattr__(part, "_from_mapping", True)
    return part


Part = Annotated[
    TextPart | ImagePart | AudioPart | VideoPart, Field(discriminator="type"), WrapValidator(_mark_mapping)
]
"""A part of a message: text, an image, sound or a video; also as a dictionary, which ``type`` tells apart."""


def is_from_mapping(part: MediaPart) -> bool:
    """Return whether a part was a dictionary, and not an object that the program made."""
    return part._from_mapping


class ToolCall(Options):
    """One call of a tool by the model.

    Attributes:
        id: identifies the call; the tool message with the answer repeats it.
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
        reasoning: the assistant's thinking, for templates that include it in the prompt.
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

    _read: Callable[[str], Any] | None = PrivateAttr(None)

    @classmethod
    def of(
        cls,
        source: ToolSource,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Self:
        """Make a tool of a function or a type.

        Args:
            source: a function with annotations; or a type, such as a pydantic model, that a call fills.
            name: of the tool; None: the source's own name.
            description: of the tool; None: the source's docstring, whose ``Args`` describe the parameters.

        Returns:
            the tool, whose ``parse`` checks the arguments of a call. It does not call the function.

        Raises:
            InvalidRequestError: an argument of the function has no name.
            ConstraintError: a type does not have a JSON schema.
        """
        own_name, own_description, parameters, read = describe_source(source)
        tool = cls.checked(
            name=name or own_name,
            description=own_description if description is None else description,
            parameters=parameters,
        )
        return tool.read_by(read)

    def read_by(self, read: Callable[[str], Any]) -> Self:
        """Return the tool with a function that reads the arguments of its calls.

        An answer with a call for which it raises ValueError is generated again (``validation_retries``).

        Args:
            read: gets the arguments as JSON text, and returns what ``parse`` returns.
        """
        copy = self.model_copy()
        copy._read = read
        return copy

    @property
    def is_type(self) -> bool:
        """Whether a type checks the arguments after they are generated."""
        return self._read is not None

    def parse(self, arguments: str) -> Any:
        """Return the arguments of a call: of a function, a dict to call it with; of a type, its instance.

        Args:
            arguments: JSON, as ``ToolCall.arguments`` has it.

        Raises:
            ValueError: they do not fit (pydantic's ValidationError), or are not JSON because the answer was cut off.
        """
        return from_json(arguments) if self._read is None else self._read(arguments)
