"""Converts the messages of llm into the engine's, and the engine's events into llm's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llm import parts as theirs

from xlc_core import Event, Message, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.frameworks import read_chat

__all__ = ["to_engine_messages", "to_pieces"]


def to_engine_messages(messages: Sequence[theirs.Message]) -> list[Message]:
    """Convert a chat, oldest message first.

    Raises:
        InvalidRequestError: a message has a part that the engine cannot take.
    """
    return read_chat(entry for message in messages for entry in _entries(message))


def _entries(message: theirs.Message) -> Iterator[dict[str, Any]]:
    """Yield dictionaries in OpenAI's form: one for each result of a tool, and one for all else."""
    fields: dict[str, Any] = {"role": message.role, "content": [], "reasoning": "", "tool_calls": []}
    for part in message.parts:
        if isinstance(part, theirs.TextPart):
            fields["content"].append(part.text)
        elif isinstance(part, theirs.ReasoningPart):
            fields["reasoning"] += part.text
        elif isinstance(part, theirs.ToolCallPart):
            fields["tool_calls"].append({"id": part.tool_call_id, "name": part.name, "arguments": part.arguments})
        elif isinstance(part, theirs.AttachmentPart):
            fields["content"].append(_medium(part.attachment))
        elif isinstance(part, theirs.ToolResultPart):
            text = part.output or part.exception or ""
            media = [_medium(attachment) for attachment in part.attachments]
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "name": part.name, "content": [text, *media]}
    if fields["content"] or fields["reasoning"] or fields["tool_calls"]:
        yield fields


def _medium(attachment: Any) -> dict[str, Any]:
    kind = str(attachment.resolve_type()).partition("/")[0]
    return {"type": kind, "base64": attachment.base64_content()}


def to_pieces(event: Event) -> Iterator[theirs.StreamEvent]:
    """Yield the pieces of an answer that an event is."""
    if isinstance(event, TextDelta):
        yield theirs.StreamEvent(type="text", chunk=event.text)
    elif isinstance(event, ReasoningDelta):
        yield theirs.StreamEvent(type="reasoning", chunk=event.text)
    elif isinstance(event, ToolCallDelta):
        common = {"tool_call_id": event.id or None, "part_index": None}
        if event.name:
            yield theirs.StreamEvent(type="tool_call_name", chunk=event.name, **common)
        if event.arguments:
            yield theirs.StreamEvent(type="tool_call_args", chunk=event.arguments, **common)
