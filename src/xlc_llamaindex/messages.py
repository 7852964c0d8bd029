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

from xlc_core import AudioPart, ImagePart, InvalidRequestError, TextPart, VideoPart
from xlc_core.frameworks import provider_fields, read_history

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ContentBlock

    from xlc_core import MediaPart, Message, Part, Role

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


def to_engine_messages(messages: Iterable[ChatMessage], *, is_part: bool = False) -> list[Message]:
    """Convert a chat; the given messages are not changed.

    Thinking and tool calls are read from their blocks. A message that has its calls only in
    ``additional_kwargs["tool_calls"]``, in any provider's form, is read from there. Calls whose arguments were cut off
    go back to the model as it wrote them.

    Args:
        messages: the chat, oldest first.
        is_part: whether it is a part of a chat that is only counted, so that its last message is not the one to be
            answered.

    Returns:
        One engine message for each.

    Raises:
        InvalidRequestError: a message holds what the engine cannot take. It names the message by its place and role.
    """
    chat = list(messages)
    entries = ((f"messages[{index}], {one.role.value}", _fields(one, index)) for index, one in enumerate(chat))
    return read_history(entries, len(chat), is_part=is_part)


def _fields(message: ChatMessage, index: int) -> dict[str, Any]:
    """Return a message as a dictionary in OpenAI's form."""
    role = _ROLES[message.role]
    kwargs = message.additional_kwargs
    try:
        content = list(_parts(message.blocks))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"messages[{index}], {message.role.value}: {error}") from None
    calls: list[Any] = [
        {"id": block.tool_call_id, "name": block.tool_name, "arguments": block.tool_kwargs}
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    fields: dict[str, Any] = {"role": role, "content": content, "name": str(kwargs.get("name") or "")}
    if role == "tool":
        fields["tool_call_id"] = str(kwargs.get("tool_call_id") or "")
    if role == "assistant":
        fields.update(provider_fields(kwargs))
    fields["tool_calls"] = calls or (list(kwargs.get("tool_calls") or ()) if role == "assistant" else [])
    return fields


def _parts(blocks: Sequence[ContentBlock]) -> Iterator[Part | dict[str, Any]]:
    for block in blocks:
        if isinstance(block, ThinkingBlock):
            yield {"type": "thinking", "thinking": block.content or ""}
        elif isinstance(block, TextBlock):
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
        elif not isinstance(block, ToolCallBlock):
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
