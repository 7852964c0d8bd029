"""Converts LangChain's messages into the engine's; errors name the message that cannot be converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from xlc_core import AudioPart, ImagePart, InvalidRequestError, MediaPart, Message, TextPart, ToolCall, VideoPart
from xlc_core.frameworks import decode_base64, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlc_core import Part, Role

__all__ = ["to_engine_messages"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def to_engine_messages(messages: Iterable[BaseMessage]) -> list[Message]:
    """Convert a chat.

    Text, images, sounds and videos may come in any form that LangChain itself can read: its standard
    blocks, OpenAI's, Anthropic's, and the older standard. Tool calls are read from ``tool_calls``;
    calls whose arguments could not be parsed go back to the model as it wrote them.

    Args:
        messages: the chat, oldest first.

    Returns:
        The engine's messages. There is one for each, but a message with Anthropic's ``tool_result``
        blocks becomes one tool message per block and one for the rest.

    Raises:
        InvalidRequestError: a message has a role or a part that the engine cannot take. It names
            the message by its place and type.
    """
    converted: list[Message] = []
    for index, message in enumerate(messages):
        try:
            converted += _convert(message)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"messages[{index}], {type(message).__name__}: {error}") from None
    return converted


def _convert(message: BaseMessage) -> list[Message]:
    if isinstance(message, AIMessage):
        return [_assistant(message)]
    if isinstance(message, ToolMessage):
        return [
            Message(
                role="tool",
                content=_content(_blocks(message)),
                tool_call_id=message.tool_call_id,
                name=message.name or "",
            )
        ]
    if isinstance(message, FunctionMessage):  # as tools were called before they had ids
        return [Message(role="tool", content=_content(_blocks(message)), name=message.name)]
    role = _role(message)
    blocks = _blocks(message)
    results = [_tool_result(block["value"]) for block in blocks if _is_tool_result(block)]
    rest = [block for block in blocks if not _is_tool_result(block)]
    if results and not rest:
        return results
    return [*results, Message(role=role, content=_content(rest), name=message.name or "")]


def _role(message: BaseMessage) -> Role:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, SystemMessage):
        is_developer = message.additional_kwargs.get("__openai_role__") == "developer"
        return "developer" if is_developer else "system"
    if isinstance(message, ChatMessage):
        if message.role in _ROLES:
            return _ROLES[message.role]
        raise InvalidRequestError(f"its role must be one of {sorted(_ROLES)}, got {message.role!r}")
    raise InvalidRequestError(
        "the model takes SystemMessage, HumanMessage, AIMessage, ToolMessage and ChatMessage only"
    )


def _assistant(message: AIMessage) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    for block in _blocks(message):
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "reasoning":
            thoughts.append(block.get("reasoning", ""))
        elif block["type"] == "non_standard" and block["value"].get("type") == "thinking":
            thoughts.append(block["value"].get("thinking", ""))  # as Anthropic writes it
        elif not _is_tool_use(block):
            raise InvalidRequestError(f"an assistant's message cannot hold {_describe(block)}")
    calls = [
        ToolCall(
            id=call["id"] or "",
            name=call["name"],
            arguments=to_json(call["args"], "the arguments of a tool call"),
        )
        for call in message.tool_calls
    ]
    calls += [
        ToolCall(id=call["id"] or "", name=call["name"] or "", arguments=call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    if not calls and (function := message.additional_kwargs.get("function_call")):
        calls.append(ToolCall(name=function["name"], arguments=function.get("arguments") or "{}"))
    return Message(
        role="assistant",
        content="".join(texts),
        reasoning="".join(thoughts),
        tool_calls=tuple(calls),
        name=message.name or "",
    )


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    """Return the content in LangChain's standard blocks; unknown ones become ``non_standard``."""
    return cast("list[dict[str, Any]]", message.content_blocks)


def _is_tool_use(block: dict[str, Any]) -> bool:
    """Return whether a block repeats a call that is in ``tool_calls``."""
    if block["type"] == "non_standard":
        return bool(block["value"].get("type") == "tool_use")
    return block["type"] in {"tool_call", "invalid_tool_call"}


def _is_tool_result(block: dict[str, Any]) -> bool:
    return bool(block["type"] == "non_standard" and block["value"].get("type") == "tool_result")


def _tool_result(value: dict[str, Any]) -> Message:
    return Message(
        role="tool",
        content=_content(_blocks(HumanMessage(value.get("content", "")))),
        tool_call_id=value.get("tool_use_id", ""),
    )


def _content(blocks: Sequence[dict[str, Any]]) -> str | tuple[Part, ...]:
    parts = tuple(_parts(blocks))
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return parts


def _parts(blocks: Sequence[dict[str, Any]]) -> Iterator[Part]:
    for block in blocks:
        if block["type"] in {"text", "text-plain"} and "text" in block:
            yield TextPart(text=block["text"])
        elif block["type"] in _MEDIA:
            yield _media(block)
        else:
            raise InvalidRequestError(f"it cannot hold {_describe(block)}; give text, images, sounds or videos")


_MEDIA: dict[str, type[MediaPart]] = {"image": ImagePart, "audio": AudioPart, "video": VideoPart}


def _media(block: dict[str, Any]) -> MediaPart:
    """Return the bytes or the link in a block of media; the engine decides whether a link is fetched."""
    part = _MEDIA[block["type"]]
    if (encoded := block.get("base64")) is not None:
        try:
            return part(data=decode_base64(encoded))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{_describe(block)}: {error}") from None
    if isinstance(url := block.get("url"), str):
        return part(url=url)
    raise InvalidRequestError(f"{_describe(block)} must carry its bytes as base64, or a URL")


def _describe(block: dict[str, Any]) -> str:
    kind = block["value"].get("type", "of no type") if block["type"] == "non_standard" else block["type"]
    return f"a block {kind!r}"
