"""Generates with the xllamacpp wheel, in process."""

from __future__ import annotations

import time
from typing import Any

import xllamacpp
from protocol import Task, serve, steps_per_second, time_together


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_ctx = settings["n_ctx"]
    params.n_parallel = settings["n_parallel"]
    params.n_batch = params.n_ubatch = 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["n_threads"]
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def body(prompt: str) -> dict[str, Any]:
        return {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": settings["n_tokens"],
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_prompt": False,
        }

    def speeds(timings: dict[str, Any], seconds: float) -> dict[str, Any]:
        n_tokens = timings["predicted_n"]
        return {
            "wall": steps_per_second(n_tokens, seconds),
            "timings": steps_per_second(n_tokens, timings["predicted_ms"] / 1000),
        }

    def chat(command: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        timings = server.handle_chat_completions(body(settings["prompts"][0]))["timings"]
        return speeds(timings, time.perf_counter() - start - timings["prompt_ms"] / 1000)

    def stream(prompt: str) -> tuple[list[float], dict[str, Any]]:
        """Return the times of the chunks with text and of the end, and the server's timings."""
        moments: list[float] = []
        timings: dict[str, Any] = {}

        def on_chunk(chunk: dict[str, Any]) -> None:
            choices = chunk.get("choices") or [{}]
            if choices[0].get("delta", {}).get("content"):
                moments.append(time.perf_counter())
            timings.update(chunk.get("timings") or {})

        server.handle_chat_completions({**body(prompt), "stream": True}, on_chunk)
        return [*moments, time.perf_counter()], timings

    def stream_chat(command: dict[str, Any]) -> dict[str, Any]:
        moments, timings = stream(settings["prompts"][0])
        return speeds(timings, moments[-1] - moments[0])

    def stream_chat_together(command: dict[str, Any]) -> dict[str, Any]:
        return time_together(lambda prompt: int(stream(prompt)[1]["predicted_n"]), settings["prompts"])

    return {"chat": chat, "stream_chat": stream_chat, "stream_chat_together": stream_chat_together}


serve(open_peer)
