"""Queueing requests from an event loop without blocking it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xlc_core.messages import Message, TextPart

if TYPE_CHECKING:
    from xlc_core.generation.event_reader import EventReader

__all__ = ["is_long", "is_long_list", "off_loop"]

# More than this may take a millisecond: to render and to tokenise, in characters and messages; to encode, in
# characters and texts.
_LONG_PROMPT = 2_000
_LONG_CHAT = 16
_LONG_TEXTS = 100_000
_MANY_TEXTS = 500


def is_long(prompt: str | Sequence[Message | Mapping[str, Any]]) -> bool:
    """Return whether queueing a prompt takes long: it is long, or holds media, which must be read."""
    if isinstance(prompt, str):
        return len(prompt) > _LONG_PROMPT
    try:
        if len(prompt) > _LONG_CHAT:
            return True
        n_characters = 0
        for message in prompt:
            for text in _texts_in(message):
                if text is None:
                    return True
                n_characters += len(text)
    except TypeError:  # not messages: building the request says what is wrong
        return False
    return n_characters > _LONG_PROMPT


def is_long_list(texts: Sequence[Any]) -> bool:
    """Return whether texts to embed or rerank take long to be queued."""
    return len(texts) > _MANY_TEXTS or sum(len(text) for text in texts if isinstance(text, str)) > _LONG_TEXTS


def _texts_in(message: Message | Mapping[str, Any]) -> Iterator[str | None]:
    """Yield the texts that the template may write out, and None for what may be long in another way."""
    content = _field(message, "content")
    for part in (content,) if isinstance(content, str) else content or ():
        yield part if isinstance(part, str) else _text_of(part)
    for name in ("reasoning", "reasoning_content"):
        if isinstance(text := _field(message, name), str):
            yield text
    for call in _field(message, "tool_calls") or ():
        arguments = _field(_field(call, "function") or call, "arguments")
        yield arguments if isinstance(arguments, str) else None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _text_of(part: Any) -> str | None:
    if isinstance(part, TextPart):
        return part.text
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


async def off_loop(work: Callable[[], EventReader], given_up: threading.Event, *, takes_long: bool) -> EventReader:
    """Queue a request without blocking the event loop: on a helper thread if it takes long.

    Args:
        work: queues the request, and ends early when ``given_up`` is set.
        given_up: is set when the task is cancelled.
        takes_long: whether it needs a helper thread.
    """
    if not takes_long:
        return work()
    submitted = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(submitted)
    except asyncio.CancelledError:
        given_up.set()
        submitted.add_done_callback(_discard)
        raise


def _discard(submitted: asyncio.Future[EventReader]) -> None:
    """End a request whose task was cancelled while it was being queued."""
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().close()
