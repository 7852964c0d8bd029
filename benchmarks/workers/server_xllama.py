"""Serves models with xllama, and measures the same work by Engine and by the client without a port."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from http_work import CHAT, EMBEDDER, body
from protocol import Task, peak_bytes, serve, time_together

import xlc_core as xlc
import xlc_server
from xlc_server.serving import make_server


class Serving:
    """A pool of engines, a server on a thread, and a client without a port."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        chat = {"model": settings["model"], "n_ctx": 2048, "n_parallel": 8, "n_threads": settings["n_threads"]}
        embedder = {"model": settings["embedder"], "n_threads": settings["n_threads"]}
        self.pool = xlc.EnginePool({CHAT: chat, EMBEDDER: embedder}, others="none")
        self.chat = self.pool.acquire(CHAT).engine
        self.embedder = self.pool.acquire(EMBEDDER).engine
        self.client = xlc_server.openai_client(self.pool)
        self.server = make_server(self.pool, port=0, access_log=False)
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            time.sleep(0.01)

    def port(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the server's port."""
        return {"port": self.server.servers[0].sockets[0].getsockname()[1]}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the most memory of this process."""
        return {"peak_bytes": peak_bytes()}

    def engine_one(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens per second of one stream."""
        start = time.perf_counter()
        return {"wall": self._by_engine(self.settings["prompts"][0]) / (time.perf_counter() - start)}

    def engine_together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens per second of all streams."""
        return time_together(self._by_engine, self.settings["prompts"])

    def portless_one(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return those of one stream, by the client."""
        start = time.perf_counter()
        return {"wall": self._by_client(self.settings["prompts"][0]) / (time.perf_counter() - start)}

    def portless_together(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return those of all streams, by the client."""
        return time_together(self._by_client, self.settings["prompts"])

    def engine_first(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the median milliseconds to the first event, after a prompt that is cached."""
        times = []
        for _ in range(self.settings["n_first"]):
            start = time.perf_counter()
            with self.chat.stream_chat(self.settings["prompts"][0], max_tokens=1, temperature=0) as stream:
                next(stream)
                times.append(time.perf_counter() - start)
        return {"wall": sorted(times)[len(times) // 2] * 1000}

    def engine_embed(self, command: dict[str, Any]) -> dict[str, Any]:
        """Embed all texts in one call."""
        start = time.perf_counter()
        self.embedder.embed(self.settings["texts"])
        return {"wall": len(self.settings["texts"]) / (time.perf_counter() - start)}

    def engine_embed_apart(self, command: dict[str, Any]) -> dict[str, Any]:
        """Embed each text in a call of its own, all at once: what the requests of clients are."""
        texts = self.settings["texts"]
        with ThreadPoolExecutor(len(texts)) as pool:
            start = time.perf_counter()
            list(pool.map(lambda text: self.embedder.embed([text]), texts))
            return {"wall": len(texts) / (time.perf_counter() - start)}

    def _by_engine(self, prompt: str) -> int:
        n_tokens = self.settings["n_tokens"]
        options: dict[str, Any] = {"max_tokens": n_tokens, "temperature": 0.0, "ignore_eos": True}
        for _ in self.chat.stream_chat(prompt, cache_prompt=False, **options).text():
            pass
        return int(n_tokens)

    def _by_client(self, prompt: str) -> int:
        asked = body(prompt, self.settings["n_tokens"])
        further = {name: asked.pop(name) for name in ("ignore_eos", "cache_prompt")}
        for _ in self.client.chat.completions.create(**asked, extra_body=further):
            pass
        return int(self.settings["n_tokens"])


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    serving = Serving(settings)
    return {
        "port": serving.port,
        "memory": serving.memory,
        "engine-one": serving.engine_one,
        "engine-together": serving.engine_together,
        "portless-one": serving.portless_one,
        "portless-together": serving.portless_together,
        "engine-first": serving.engine_first,
        "engine-embed": serving.engine_embed,
        "engine-embed-apart": serving.engine_embed_apart,
    }


serve(open_peer)
