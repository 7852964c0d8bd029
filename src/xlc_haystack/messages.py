"""Converts Haystack's messages into the engine's, and the engine's answers into Haystack's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haystack import logging
from haystack.dataclasses import (
    ChatMessage,
    ComponentInfo,
    ReasoningContent,
    StreamingChunk,
    ToolCall,
    ToolCallDelta,
)

from xlc_core import Completion, CompletionChoice, Event, Finished, Message, ReasoningDelta, TextDelta
from xlc_core import ToolCallDelta as EngineCallDelta
from xlc_core.frameworks import chat_logprobs, openai_finish_reason, openai_usage, read_arguments, read_chat

__all__ = ["ChunkWriter", "to_engine_messages", "to_replies"]

logger = logging.getLogger(__name__)


def to_engine_messages(messages: Sequence[ChatMessage] | str) -> list[Message]:
    """Convert a chat, or one user's text.

    Raises:
        InvalidRequestError: a message has a part that the engine cannot take.
    """
    if isinstance(messages, str):
        return [Message(role="user", content=messages)]
    return read_chat(map(_fields, messages))


def _fields(message: ChatMessage) -> dict[str, Any]:
    fields = dict(message.to_openai_dict_format(require_tool_call_ids=False))
    if message.reasoning:
        fields["reasoning"] = message.reasoning.reasoning_text
    if message.tool_call_result:
        fields["name"] = message.tool_call_result.origin.tool_name
    return fields


def to_replies(completion: Completion) -> list[ChatMessage]:
    """Convert a finished answer; each of its ``n`` choices becomes a message."""
    return [_reply(choice, index, completion) for index, choice in enumerate(completion.choices)]


def _reply(choice: CompletionChoice, index: int, completion: Completion) -> ChatMessage:
    return ChatMessage.from_assistant(
        text=choice.text or None,
        reasoning=choice.reasoning or None,
        tool_calls=_whole_calls(choice),
        meta={**_meta(completion), **_logprobs(choice), "index": index, "finish_reason": openai_finish_reason(choice)},
    )


def _whole_calls(choice: CompletionChoice) -> list[ToolCall]:
    """Return the calls, without one that was cut off: Haystack has no form for it."""
    calls = []
    for call in choice.tool_calls:
        if (arguments := read_arguments(call)) is None:
            logger.warning(
                "A call of the tool {name} was cut off and is left out; raise max_tokens. It has the arguments: {text}",
                name=call.name,
                text=call.arguments,
            )
        else:
            calls.append(ToolCall(tool_name=call.name, arguments=arguments, id=call.id or None))
    return calls


def _meta(completion: Completion) -> dict[str, Any]:
    return {"model": completion.model, "usage": openai_usage(completion.usage)}


def _logprobs(choice: CompletionChoice) -> dict[str, Any]:
    """Return log-probabilities in OpenAI's form, with all alternatives that were asked for; nothing without any."""
    return {"logprobs": chat_logprobs(choice.logprobs)} if choice.logprobs else {}


class ChunkWriter:
    """Turns the events of one answer into chunks, which say to which block of the answer they belong.

    Args:
        component: the component that answers.
    """

    def __init__(self, component: Any) -> None:
        self._component = ComponentInfo.from_component(component)
        self._block: Any = None
        self._index = -1

    def write(self, event: Event) -> StreamingChunk | None:
        """Return the chunk for an event; None for one that is not a part of the answer."""
        if isinstance(event, TextDelta):
            return self._chunk("text", content=event.text)
        if isinstance(event, ReasoningDelta):
            return self._chunk("reasoning", content="", reasoning=ReasoningContent(event.text))
        if isinstance(event, EngineCallDelta):
            piece = ToolCallDelta(
                index=event.call_index,
                tool_name=event.name or None,
                arguments=event.arguments or None,
                id=event.id or None,
            )
            return self._chunk(event.call_index, content="", tool_calls=[piece])
        if isinstance(event, Finished):
            done = event.completion
            return StreamingChunk(
                content="",
                meta=_meta(done),
                component_info=self._component,
                finish_reason=openai_finish_reason(done),
            )
        return None

    def _chunk(self, block: Any, **content: Any) -> StreamingChunk:
        is_start = block != self._block
        if is_start:
            self._block = block
            self._index += 1
        return StreamingChunk(component_info=self._component, index=self._index, start=is_start, **content)
