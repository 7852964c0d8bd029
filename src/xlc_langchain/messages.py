"""Converts LangChain's messages into the engine's; errors name the message that cannot be converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from xlc_core import InvalidRequestError
from xlc_core.frameworks import provider_fields, read_history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlc_core import Message

__all__ = ["to_engine_messages"]

_ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}


def to_engine_messages(messages: Iterable[BaseMessage], *, is_part: bool = False) -> list[Message]:
    """Convert a chat.

    Content may come in any form that a provider's package leaves in a history. Tool calls are read from
    ``tool_calls``; calls whose arguments could not be parsed go back to the model as it wrote them. Blocks that say
    nothing to the model, such as citations and calls of a provider's own tools, are left out with a warning.

    Args:
        messages: the chat, oldest first.
        is_part: whether it is a part of a chat that is only counted, so that its last message is not the one to be
            answered.

    Returns:
        The engine's messages. There is one for each, but a message with Anthropic's ``tool_result``
        blocks becomes one tool message per block and one for the rest.

    Raises:
        InvalidRequestError: a message has a role or a part that the engine cannot take. It names
            the message by its place and type.
    """
    chat = list(messages)
    entries = ((f"messages[{index}], {type(one).__name__}", _fields(one, index)) for index, one in enumerate(chat))
    return read_history(entries, len(chat), is_part=is_part)


def _fields(message: BaseMessage, index: int) -> dict[str, Any]:
    """Return a message as a dictionary in OpenAI's form, with its content as it is."""
    try:
        role = _role(message)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"messages[{index}], {type(message).__name__}: {error}") from None
    fields: dict[str, Any] = {"role": role, "content": message.content, "name": message.name}
    if isinstance(message, ToolMessage):
        fields["tool_call_id"] = message.tool_call_id
    if isinstance(message, AIMessage):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        fields["tool_calls"] = [
            {"id": call["id"], "name": call["name"], "arguments": "" if call["args"] is None else call["args"]}
            for call in calls
        ]
        fields.update(provider_fields(message.additional_kwargs))
    return fields


def _role(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, (ToolMessage, FunctionMessage)):  # functions: as tools were called before they had ids
        return "tool"
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
