"""Queueing requests from an event loop without blocking it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xlc_core.messages import Message, TextPart

if TYPE_CHECKING:
    from xlc_core.generation.streams import Pump

__all__ = ["is_long", "off_loop"]

# Tokenising a longer prompt than this, in characters, takes long enough to be done off the event loop.
_LONG_PROMPT = 20_000


def is_long(prompt: str | Sequence[Message | Mapping[str, Any]]) -> bool:
    """Return whether queueing a prompt takes long: it is a long text, or holds media, which must be read."""
    if isinstance(prompt, str):
        return len(prompt) > _LONG_PROMPT
    n_characters = 0
    for message in prompt:
        content = message.content if isinstance(message, Message) else message.get("content")
        for part in (content,) if isinstance(content, str) else content or ():
            text = part if isinstance(part, str) else _text_of(part)
            if text is None:
                return True
            n_characters += len(text)
    return n_characters > _LONG_PROMPT


def _text_of(part: Any) -> str | None:
    if isinstance(part, TextPart):
        return part.text
    return part.get("text") if isinstance(part, Mapping) else None


def off_loop(submit: Callable[[], Pump], *, is_long: bool) -> Callable[[], Awaitable[Pump]]:
    """Queue a request without blocking the event loop: a long prompt is tokenised on a helper thread."""

    async def start() -> Pump:
        if not is_long:
            return submit()
        submitted = asyncio.get_running_loop().run_in_executor(None, submit)
        try:
            return await asyncio.shield(submitted)
        except asyncio.CancelledError:
            submitted.add_done_callback(_discard)
            raise

    return start


def _discard(submitted: asyncio.Future[Pump]) -> None:
    """End a request whose task was cancelled while it was being queued."""
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().close()
