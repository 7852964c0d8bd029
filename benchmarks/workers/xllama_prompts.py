"""Reads prompts and generates after a long one with this project's Engine."""

from __future__ import annotations

import random
import time
from typing import Any

from protocol import Task, serve

import xlc_core as xlc

WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not", "he")


class Prompts:
    """The measurements with one engine. Each prompt is a new one."""

    def __init__(self, engine: xlc.Engine, settings: dict[str, Any]) -> None:
        self.engine = engine
        self.settings = settings
        self.draw = random.Random(0)

    def read(self, command: dict[str, Any]) -> dict[str, Any]:
        """Read a prompt. Return its tokens per second, by the engine's timings."""
        timings = self._complete(self.settings["n_prompt"], 1).timings
        return {"wall": timings.prompt_tokens / timings.prompt_seconds}

    def generate(self, command: dict[str, Any]) -> dict[str, Any]:
        """Generate after a long prompt. Return the decode steps per second, and the time to the first token."""
        timings = self._complete(self.settings["n_context"], self.settings["n_tokens"]).timings
        return {"wall": timings.generation_tokens_per_second, "first": timings.prompt_seconds}

    def first_token(self, command: dict[str, Any]) -> dict[str, Any]:
        """Read a long prompt. Return the milliseconds of the call, which writes one token."""
        start = time.perf_counter()
        self._complete(self.settings["n_context"], 1)
        return {"wall": (time.perf_counter() - start) * 1000}

    def _complete(self, n_prompt: int, n_tokens: int) -> xlc.Completion:
        prompt = " ".join(self.draw.choice(WORDS) for _ in range(n_prompt))
        return self.engine.complete(prompt, max_tokens=n_tokens, temperature=0.0, ignore_eos=True, cache_prompt=False)


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    engine = xlc.Engine(
        settings["model"], n_ctx=2048, n_parallel=1, n_threads=settings["n_threads"], cache_ram_mib=0, progress=False
    )
    prompts = Prompts(engine, settings)
    return {"read": prompts.read, "generate": prompts.generate, "first-token": prompts.first_token}


serve(open_peer)
