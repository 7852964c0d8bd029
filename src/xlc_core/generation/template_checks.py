"""Errors for messages that a chat template refuses or ignores; they name the message."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError
from xlc_core.messages import Message

__all__ = ["render_checked"]

_FEW_MESSAGES = 64


def render_checked(
    engine: _native.Engine, chat: _native.ChatRequest, messages: Sequence[Message]
) -> _native.RenderedChat:
    """Render a chat once, and check that the template ignores nothing.

    Args:
        engine: renders.
        chat: the chat as the engine takes it.
        messages: the messages that it was made of.

    Raises:
        InvalidRequestError: the template refused the messages; the error names the message, where one is to blame.
        UnsupportedFeatureError: the template ignores a system message.
    """
    try:
        rendered = engine.render(chat)
    except InvalidRequestError as error:
        raise _with_message_index(engine, chat, error) from None
    late = _late_system_messages(messages)
    if late:
        _check_system_messages(late, chat.messages, rendered.prompt)
    return rendered


def _with_message_index(
    engine: _native.Engine, chat: _native.ChatRequest, error: InvalidRequestError
) -> InvalidRequestError:
    """Find the message at which the template refused the chat: the first one up to which it already does.

    In a long chat a binary search finds it, because rendering each of its beginnings would take minutes.
    """
    if error.template_reason is None:
        return error
    messages = chat.messages

    def is_refused(n: int) -> bool:
        try:
            engine.render(_first_messages(chat, n))
        except InvalidRequestError as refusal:
            return refusal.template_reason == error.template_reason
        return False

    beginnings = range(1, len(messages) + 1)
    if len(messages) <= _FEW_MESSAGES:
        found = next(filter(is_refused, beginnings), None)
    else:
        found = 1 + bisect.bisect_left(beginnings, True, key=is_refused)
    if found is None or found > len(messages):
        return error
    named = InvalidRequestError(
        f"message {found - 1} ({messages[found - 1].role}) is refused by the model's chat template: "
        f"{error.template_reason}"
    )
    named.message_index = found - 1
    named.template_reason = error.template_reason
    return named


def _late_system_messages(messages: Sequence[Message]) -> list[int]:
    is_system = [message.role in ("system", "developer") for message in messages]
    n_leading = is_system.index(False) if False in is_system else len(is_system)
    return [index for index in range(n_leading, len(is_system)) if is_system[index]]


def _check_system_messages(late: list[int], messages: list[_native.ChatMessage], prompt: str) -> None:
    """Check that system messages within the chat are in the prompt. Some templates ignore them silently."""
    at = 0
    for index in late:
        content = messages[index].content.strip()
        found = prompt.find(content, at)  # most templates keep the order
        at = prompt.find(content) if found < 0 else found
        if at < 0:
            lost = UnsupportedFeatureError(
                f"message {index} (system) is ignored by the model's chat template, which allows a system message "
                "only at the start; put it first, or send it as a user's"
            )
            lost.message_index = index
            raise lost


def _first_messages(chat: _native.ChatRequest, n: int) -> _native.ChatRequest:
    return _native.ChatRequest(
        messages=chat.messages[:n],
        tools=chat.tools,
        tool_choice=chat.tool_choice,
        parallel_tool_calls=chat.parallel_tool_calls,
        thinking=chat.thinking,
        template_kwargs=chat.template_kwargs,
    )
