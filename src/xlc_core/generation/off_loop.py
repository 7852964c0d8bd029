"""Queueing requests from an event loop without blocking it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
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
    if len(prompt) > _LONG_CHAT:
        return True
    n_characters = 0
    for message in prompt:
        content = message.content if isinstance(message, Message) else _content_of(message)
        for part in (content,) if isinstance(content, str) else content or ():
            text = part if isinstance(part, str) else _text_of(part)
            if text is None:
                return True
            n_characters += len(text)
    return n_characters > _LONG_PROMPT


def is_long_list(texts: Sequence[Any]) -> bool:
    """Return whether texts to embed or rerank take long to be queued."""
    return len(texts) > _MANY_TEXTS or sum(len(text) for text in texts if isinstance(text, str)) > _LONG_TEXTS


def _content_of(message: Any) -> Any:
    return message.get("content") if isinstance(message, Mapping) else None


def _text_of(part: Any) -> str | None:
    if isinstance(part, TextPart):
        return part.text
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


async def off_loop(work: Callable[[threading.Event], EventReader], *, takes_long: bool) -> EventReader:
    """Queue a request without blocking the event loop: on a helper thread if it takes long.

    Args:
        work: queues the request; gets an event that is set when the request is given up meanwhile.
        takes_long: whether it needs a helper thread.
    """
    given_up = threading.Event()
    if not takes_long:
        return work(given_up)
    submitted = asyncio.get_running_loop().run_in_executor(None, work, given_up)
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
