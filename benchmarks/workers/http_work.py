"""Requests to servers over HTTP. Uses the standard library only."""

from __future__ import annotations

from typing import Any

CHAT = "chat"
EMBEDDER = "embed"


def body(prompt: str, n_tokens: int, **changes: Any) -> dict[str, Any]:
    """Return the body of a request for a stream of so many tokens, in OpenAI's form with llama.cpp's options."""
    return {
        "model": CHAT,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": n_tokens,
        "temperature": 0.0,
        "stream": True,
        "ignore_eos": True,
        "cache_prompt": False,
        **changes,
    }
