"""``/tokenize``, ``/detokenize`` and ``/apply-template``, as llama-server has them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from xlc_core import Engine
from xlc_server.chat import ChatBody
from xlc_server.service import Body, Service

__all__ = ["DetokenizeBody", "TokenizeBody", "answer_detokenize", "answer_template", "answer_tokenize"]


class TokenizeBody(Body):
    """A text to split into tokens."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(Body):
    """Tokens to join."""

    tokens: list[int]


async def answer_tokenize(service: Service, body: TokenizeBody) -> Mapping[str, Any]:
    """Return the tokens of a text."""
    with await service.engine(body) as lease:
        return {"tokens": await asyncio.to_thread(_tokens, lease.engine, body)}


def _tokens(engine: Engine, body: TokenizeBody) -> list[Any]:
    tokens = engine.tokenize(body.content, add_special=body.add_special, parse_special=body.parse_special)
    if not body.with_pieces:
        return tokens
    return [{"id": token, "piece": engine.detokenize([token], special=True)} for token in tokens]


async def answer_detokenize(service: Service, body: DetokenizeBody) -> Mapping[str, Any]:
    """Return the text of tokens."""
    with await service.engine(body) as lease:
        return {"content": await asyncio.to_thread(lease.engine.detokenize, body.tokens, special=True)}


async def answer_template(service: Service, body: ChatBody) -> Mapping[str, Any]:
    """Return the prompt that a chat becomes."""
    options = body.chat_options(None)
    with await service.engine(body) as lease:
        return {"prompt": await asyncio.to_thread(lambda: lease.engine.render_chat(body.messages, **options))}
