"""Converts LlamaIndex's chat messages into the engine's; errors name the message that cannot be converted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from xlc_core import AudioPart, ImagePart, InvalidRequestError, Message, TextPart, ToolCall, VideoPart
from xlc_core.frameworks import from_json, to_json

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ContentBlock

    from xlc_core import MediaPart, Part, Role

__all__ = ["to_engine_messages"]

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "developer",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_engine_messages(messages: Iterable[ChatMessage]) -> list[Message]:
    """Convert a chat; the given messages are not changed.

    Thinking and tool calls are read from their blocks; calls that were cut off are left out. A message of another
    provider's that has its calls only in ``additional_kwargs["tool_calls"]``, in OpenAI's form, is read from there.

    Args:
        messages: the chat, oldest first.

    Returns:
        One engine message for each.

    Raises:
        InvalidRequestError: a message holds what the engine cannot take. It names the message by its place and role.
    """
    converted = []
    for index, message in enumerate(messages):
        try:
            converted.append(_convert(message))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"messages[{index}], {message.role.value}: {error}") from None
    return converted


def _convert(message: ChatMessage) -> Message:
    role = _ROLES[message.role]
    thoughts = [block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock)]
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if (thoughts or calls) and role != "assistant":
        raise InvalidRequestError("only an assistant's message can hold thinking and tool calls")
    kwargs = message.additional_kwargs
    if calls:
        made = [_call(block) for block in calls]
    else:
        made = [_openai_call(call) for call in kwargs.get("tool_calls") or () if role == "assistant"]
    return Message(
        role=role,
        content=_content(message.blocks),
        reasoning="".join(thoughts),
        tool_calls=tuple(call for call in made if _is_whole(call)),
        tool_call_id=str(kwargs.get("tool_call_id") or "") if role == "tool" else "",
        name=str(kwargs.get("name") or ""),
    )


def _call(block: ToolCallBlock) -> ToolCall:
    return ToolCall(id=block.tool_call_id or "", name=block.tool_name, arguments=_json(block.tool_kwargs))


def _is_whole(call: ToolCall) -> bool:
    """Return whether a call is complete. Templates cannot read the arguments of one that was cut off."""
    try:
        return isinstance(from_json(call.arguments), dict)
    except ValueError:
        return False


def _openai_call(call: Any) -> ToolCall:
    """Read a call that is a dictionary, or an object of the openai package."""
    plain = call if isinstance(call, dict) else call.model_dump()
    function = plain.get("function", plain)
    if not isinstance(function.get("name"), str):
        raise InvalidRequestError(
            f"additional_kwargs['tool_calls'] must be in OpenAI's form, got a {type(call).__name__}"
        )
    return ToolCall(id=plain.get("id") or "", name=function["name"], arguments=_json(function.get("arguments") or "{}"))


def _json(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else to_json(arguments, "the arguments of a tool call")


def _content(blocks: Sequence[ContentBlock]) -> str | tuple[Part, ...]:
    parts = tuple(_parts(blocks))
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return parts


def _parts(blocks: Sequence[ContentBlock]) -> Iterator[Part]:
    for block in blocks:
        if isinstance(block, TextBlock):
            yield TextPart(text=block.text)
        elif isinstance(block, ImageBlock):
            yield _media(ImagePart, block, block.resolve_image)
        elif isinstance(block, AudioBlock):
            yield _media(AudioPart, block, block.resolve_audio)
        elif isinstance(block, VideoBlock):
            yield _media(VideoPart, block, block.resolve_video)
        elif isinstance(block, DocumentBlock):
            yield TextPart(text=_document(block))
        elif isinstance(block, CitableBlock):
            yield from _parts(block.content)
        elif isinstance(block, CitationBlock):
            yield from _parts([block.cited_content])
        elif isinstance(block, CachePoint):
            warnings.warn(
                "a CachePoint is ignored: xllama reuses the common start of prompts by itself; "
                "raw['usage'] has the number of tokens",
                stacklevel=2,
            )
        elif not isinstance(block, (ThinkingBlock, ToolCallBlock)):
            raise InvalidRequestError(
                f"it cannot hold a block {block.block_type!r}; give text, images, sounds, videos or text documents"
            )


def _media(part: type[MediaPart], block: Any, resolve: Any) -> MediaPart:
    """Return the bytes, the path or the link in a block of media; the engine decides whether a link is fetched."""
    if str(block.url or "").startswith(("http:", "https:")):
        return part(url=str(block.url))
    if block.path is not None and not getattr(block, block.block_type, None):
        return part(path=block.path)
    return part(data=_bytes(block, resolve))


def _bytes(block: Any, resolve: Any) -> bytes:
    """Return the bytes in a block. Links that the engine cannot fetch are refused."""
    url = str(block.url or "")
    if url and not url.startswith("data:"):
        raise InvalidRequestError(
            f"the link of a block {block.block_type!r} cannot be fetched; give the bytes, a path or a data: URL"
        )
    try:
        data: bytes = resolve().read()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"a block {block.block_type!r} cannot be read: {error}") from error
    return data


def _document(block: DocumentBlock) -> str:
    data = _bytes(block, block.resolve_document)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f"the document {block.title!r} ({block.document_mimetype or 'of unknown type'}) is not a text; "
            "extract its text with a LlamaIndex reader"
        ) from None
