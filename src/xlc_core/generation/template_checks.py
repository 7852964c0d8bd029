"""Errors for messages that a chat template refuses or ignores; they name the message."""

from __future__ import annotations

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, UnsupportedFeatureError

__all__ = ["check_system_messages", "with_message_index"]

_REFUSED = "the model's chat template refused these messages: "


def with_message_index(
    engine: _native.Engine, chat: _native.ChatRequest | None, error: InvalidRequestError
) -> InvalidRequestError:
    """Return an error that names the message because of which a template refuses a chat.

    It is the last message of the shortest start of the chat that the template refuses.

    Args:
        engine: renders the chat.
        chat: the refused chat.
        error: the error of rendering it.

    Returns:
        the error that names the message; the same error if it has another cause, or more than one message causes it.
    """
    if chat is None or type(error) is not InvalidRequestError or not str(error).startswith(_REFUSED):
        return error
    for n in range(1, len(chat.messages) + 1):
        try:
            engine.render(_start_of(chat, n))
        except InvalidRequestError as refusal:
            if str(refusal) == str(error):
                role = chat.messages[n - 1].role
                reason = str(error).removeprefix(_REFUSED)
                return InvalidRequestError(
                    f"message {n - 1} ({role}) is refused by the model's chat template: {reason}"
                )
    return error


def check_system_messages(engine: _native.Engine, chat: _native.ChatRequest) -> None:
    """Check that system messages inside the chat are in the prompt: some templates ignore them silently.

    Takes no time for a chat whose system messages all come first.

    Raises:
        UnsupportedFeatureError: a system message is not in the prompt.
    """
    messages = chat.messages
    n_leading = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    late = [i for i in range(max(n_leading, 1), len(messages)) if messages[i].role == "system"]
    if not late:
        return
    prompt = engine.render(chat).prompt
    for i in late:
        if messages[i].content.strip() not in prompt:
            raise UnsupportedFeatureError(
                f"message {i} (system) is ignored by the model's chat template, which allows a system message "
                "only at the start; put it first, or send it as a user's"
            )


def _start_of(chat: _native.ChatRequest, n: int) -> _native.ChatRequest:
    start = _native.ChatRequest()
    start.messages = chat.messages[:n]
    start.tools = chat.tools
    start.tool_choice = chat.tool_choice
    start.parallel_tool_calls = chat.parallel_tool_calls
    start.thinking = chat.thinking
    start.template_kwargs = chat.template_kwargs
    return start
