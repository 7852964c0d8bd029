"""Clients that do harm to an HTTP server: broken bodies, wrong types, large and slow bodies, and hanging up.

Each request follows from its number, so that a failure can be sent again alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KINDS", "Account", "attack", "send"]

LIMIT = 1 << 20
"""Bytes of a body that the server under attack takes."""

_SECONDS = 120.0  # after which an answer counts as lost
_CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", _CHAT),
    ("/v1/chat/completions", {**_CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {**_CHAT, "logprobs": True, "top_logprobs": 2, "n": 2, "seed": 1, "stop": ["x"]}),
    ("/v1/chat/completions", {**_CHAT, "tools": [_TOOL], "tool_choice": "required", "max_tokens": 40}),
    (
        "/v1/chat/completions",
        {
            **_CHAT,
            "max_tokens": 20,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}},
        },
    ),
    ("/v1/completions", {"model": "chat", "prompt": ["a", "b"], "max_tokens": 3, "logit_bias": {"65": 1}}),
    ("/v1/completions", {"model": "chat", "prompt": "once", "max_tokens": 3, "stream": True}),
    ("/v1/embeddings", {"model": "embed", "input": ["a", "b"], "encoding_format": "base64"}),
    ("/v1/rerank", {"model": "rank", "query": "a", "documents": ["a", {"text": "b"}], "top_n": 1}),
    ("/tokenize", {"model": "chat", "content": "Hello", "with_pieces": True}),
    ("/detokenize", {"model": "chat", "tokens": [70, 71]}),
    ("/apply-template", _CHAT),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**70, 1e308, -0.5, "", "\ud800", "\x00", "<|im_start|>", [], {}),
    *([[]], {"a": {}}, ["a"] * 3000, "long " * 5000, [[[[[[[[[[[[]]]]]]]]]]]], {"type": "object"}, {"$ref": "#"}),
    *("data:image/png;base64,AAAA", "file:///etc/passwd", "http://127.0.0.1:9/a.png", "auto", "nothing"),
)


@dataclass
class Account:
    """The outcomes of the requests.

    Attributes:
        outcomes: their number by kind and outcome: a status, or ``left`` if the client hung up.
        faults: requests that were not answered as they should be, with the reason.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def n(self, outcome: str) -> int:
        """Return the number of requests with an outcome."""
        return sum(number for (_, found), number in self.outcomes.items() if found == outcome)


class Connection:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, content: bytes) -> None:
        """Send bytes; a server that has answered already may not take them any more."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(content)
            await self._writer.drain()

    async def post(self, path: str, body: bytes, length: int | None = None) -> None:
        """Send a request, perhaps with a wrong length."""
        await self.write(_head(path, f"content-length: {len(body) if length is None else length}") + body)

    async def status(self) -> str:
        """Read a whole answer and return its status; of a stream also that it has ended."""
        answer = await self._reader.read()
        if not answer.startswith(b"HTTP/1.1 "):
            return f"no answer: {answer[:80]!r}"
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"text/event-stream" in head and b"[DONE]" not in body:
            return "a stream without an end"
        return head[9:12].decode()

    async def read_some(self) -> None:
        """Wait for the first bytes of an answer."""
        await self._reader.read(1)


def _head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def _mutated(rng: random.Random, value: Any) -> Any:
    """Return JSON with something else in one place."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _mutated(rng, value[place]), *value[place + 1 :]]
    return rng.choice(_VALUES)


def _bytes_of(body: Any) -> bytes:
    return json.dumps(body).encode()


async def _send_valid(rng: random.Random, to: Connection) -> str:
    path, body = rng.choice(BODIES)
    await to.post(path, _bytes_of(body))
    return await to.status()


async def _send_wrong_types(rng: random.Random, to: Connection) -> str:
    path, body = rng.choice(BODIES)
    for _ in range(rng.choice((1, 1, 2, 5))):
        body = _mutated(rng, body)
    await to.post(path, _bytes_of(body))
    return await to.status()


async def _send_broken_json(rng: random.Random, to: Connection) -> str:
    path, body = rng.choice(BODIES)
    content = bytearray(_bytes_of(body))
    kind = rng.randrange(4)
    if kind == 0:
        content = content[: rng.randrange(len(content))]
    elif kind == 1:
        content = bytearray(b"[" * rng.choice((10, 2000, 30_000)))
    elif kind == 2:
        content = bytearray(b'{"a":' * rng.choice((10, 300, 3000)) + b"1")
    else:
        for _ in range(rng.randrange(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    await to.post(path, bytes(content))
    return await to.status()


async def _send_too_much(rng: random.Random, to: Connection) -> str:
    path, _ = rng.choice(BODIES)
    if rng.random() < 0.5:
        await to.post(path, b" " * 1000, length=rng.choice((LIMIT + 1, 1 << 40)))
    else:
        await to.write(_head(path, "transfer-encoding: chunked"))
        for _ in range(LIMIT // 65536 + 2):
            await to.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
    return await to.status()


async def _send_slowly(rng: random.Random, to: Connection) -> str:
    path, body = rng.choice(BODIES)
    content = _bytes_of(body)
    await to.write(_head(path, f"content-length: {len(content)}"))
    step = 1 + len(content) // 5
    for place in range(0, len(content), step):
        await to.write(content[place : place + step])
        await asyncio.sleep(0.01)
    return await to.status()


async def _leave_in_body(rng: random.Random, to: Connection) -> str:
    path, body = rng.choice(BODIES)
    content = _bytes_of(body)
    await to.post(path, content[: rng.randrange(len(content))], length=len(content))
    return "left"


async def _leave_waiting(rng: random.Random, to: Connection) -> str:
    await to.post("/v1/chat/completions", _bytes_of({**_CHAT, "max_tokens": 100, "n": rng.choice((1, 2))}))
    await asyncio.sleep(rng.choice((0, 0.001, 0.02)))
    return "left"


async def _leave_stream(rng: random.Random, to: Connection) -> str:
    await to.post("/v1/chat/completions", _bytes_of({**_CHAT, "max_tokens": 100, "stream": True}))
    await to.read_some()
    return "left"


async def _send_no_http(rng: random.Random, to: Connection) -> str:
    await to.write(rng.choice((b"\x16\x03\x01", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n")))
    await to.write(rng.randbytes(50) + b"\r\n\r\n")
    return "left"


_Kind = Callable[[random.Random, Connection], Awaitable[str]]

KINDS: dict[str, _Kind] = {
    "valid": _send_valid,
    "wrong types": _send_wrong_types,
    "broken JSON": _send_broken_json,
    "too much": _send_too_much,
    "slow": _send_slowly,
    "leaves in its body": _leave_in_body,
    "leaves while it waits": _leave_waiting,
    "leaves its stream": _leave_stream,
    "not HTTP": _send_no_http,
}
"""The kinds of requests."""

_EXPECTED = {
    "valid": {"200"},
    "slow": {"200"},
    "too much": {"413", "ConnectionResetError"},  # the server does not read the rest, so the answer may be lost
    "broken JSON": {"200", "400", "404", "408", "413", "422"},
    "wrong types": {"200", "400", "404", "408", "413", "422"},
}


async def send(port: int, number: int, account: Account) -> None:
    """Send the request of this number, and record what became of it."""
    rng = random.Random(number)
    kind = list(KINDS)[number % len(KINDS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        outcome = await asyncio.wait_for(KINDS[kind](rng, Connection(reader, writer)), _SECONDS)
    except (asyncio.TimeoutError, ConnectionError) as error:
        outcome = type(error).__name__
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    account.outcomes[kind, outcome] += 1
    if outcome not in _EXPECTED.get(kind, {"left"}):
        account.faults.append(f"request {number} ({kind}): {outcome}")


async def attack(port: int, numbers: range, n_at_once: int) -> Account:
    """Send the requests of these numbers, so many at a time."""
    account = Account()
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await send(port, number, account)

    await asyncio.gather(*(work() for _ in range(n_at_once)))
    return account
