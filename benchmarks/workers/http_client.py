"""A client of servers over HTTP, in a process of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
from http_work import EMBEDDER, body
from protocol import Task, serve


class Client:
    """The measurements of one server."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.url = f"http://127.0.0.1:{settings['port']}/v1"
        self.loop = asyncio.new_event_loop()
        limits = httpx.Limits(max_connections=100, keepalive_expiry=2)  # before servers close them
        self.client = httpx.AsyncClient(timeout=600, limits=limits)

    def one(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens per second of one stream."""
        return self._tokens_per_second(self.settings["prompts"][:1])

    def together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens per second of all streams."""
        return self._tokens_per_second(self.settings["prompts"])

    def first(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the median milliseconds to the first event, after a prompt that is cached."""

        async def measure() -> list[float]:
            times = []
            asked = body(self.settings["prompts"][0], 1, cache_prompt=True)
            for _ in range(self.settings["n_first"]):
                start = time.perf_counter()
                async with self.client.stream("POST", f"{self.url}/chat/completions", json=asked) as answer:
                    async for _ in answer.aiter_lines():
                        times.append(time.perf_counter() - start)
                        break
            return times

        times = self.loop.run_until_complete(measure())
        return {"wall": sorted(times)[len(times) // 2] * 1000}

    def embed(self, command: dict[str, Any]) -> dict[str, Any]:
        """Embed each text with a request of its own, all at once."""
        texts = self.settings["texts"]

        async def ask(text: str) -> None:
            asked = {"model": EMBEDDER, "input": text, "encoding_format": "base64"}
            (await self.client.post(f"{self.url}/embeddings", json=asked)).raise_for_status()

        async def ask_all() -> None:
            await asyncio.gather(*(ask(text) for text in texts))

        start = time.perf_counter()
        self.loop.run_until_complete(ask_all())
        return {"wall": len(texts) / (time.perf_counter() - start)}

    def _tokens_per_second(self, prompts: list[str]) -> dict[str, Any]:
        async def ask(prompt: str) -> None:
            asked = body(prompt, self.settings["n_tokens"])
            async with self.client.stream("POST", f"{self.url}/chat/completions", json=asked) as answer:
                answer.raise_for_status()
                async for _ in answer.aiter_lines():
                    pass

        async def ask_all() -> None:
            await asyncio.gather(*map(ask, prompts))

        start = time.perf_counter()
        self.loop.run_until_complete(ask_all())
        return {"wall": self.settings["n_tokens"] * len(prompts) / (time.perf_counter() - start)}


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    client = Client(settings)
    return {"one": client.one, "together": client.together, "first": client.first, "embed": client.embed}


serve(open_peer)
