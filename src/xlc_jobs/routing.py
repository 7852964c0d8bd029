"""Which replica answers a request: the one that has read the beginning of its conversation before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

__all__ = ["conversation_key", "ranked"]

_LONGEST = 2048  # characters of a beginning that count


def conversation_key(body: bytes) -> str:
    """Return a short text that is equal for all requests of one conversation; empty if the body is not a conversation.

    It is a hash of the model, the instructions, and the first message that is not an instruction: all turns of a
    conversation begin with them, and conversations that share only their instructions have different keys.

    Args:
        body: a request's JSON, of OpenAI's or Anthropic's API.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(value, dict):
        return ""
    beginning = _beginning(value.get("messages", value.get("input", value.get("prompt"))))
    if beginning is None:
        return ""
    parts = [value.get("model"), value.get("system"), value.get("instructions"), *beginning]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def _beginning(said: Any) -> list[Any] | None:
    """Return the texts with which a conversation begins, up to its first message that is not an instruction."""
    if isinstance(said, str):
        return [said[:_LONGEST]]
    if not isinstance(said, list):
        return None
    texts = []
    for message in said:
        if not isinstance(message, dict):
            return None
        content = message.get("content")
        texts.append(content[:_LONGEST] if isinstance(content, str) else content)
        if message.get("role") not in ("system", "developer"):
            break
    return texts or None


def ranked(key: str, names: Sequence[str]) -> list[int]:
    """Return the places of names in the order in which they are to answer a key: rendezvous hashing.

    Each key has an order of its own. If a name goes away, only its keys move, and they spread over all others; if one
    is added, it takes its share from all.

    Args:
        key: the key.
        names: the names of replicas.
    """
    weights = [hashlib.sha256(f"{key}/{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=weights.__getitem__, reverse=True)
