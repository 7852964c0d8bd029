"""Chats as frameworks keep them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xlc_core.generation.message_reading import read_history
from xlc_core.messages import Message

__all__ = ["read_chat"]


def read_chat(entries: Iterable[Any]) -> list[Message]:
    """Return the messages that entries in OpenAI's form mean. An error names its message by the place in the chat.

    Args:
        entries: dictionaries, oldest first.

    Raises:
        InvalidRequestError: a message has a part that the engine cannot take.
    """
    chat = list(entries)
    return read_history(((f"message {index}", entry) for index, entry in enumerate(chat)), len(chat))
