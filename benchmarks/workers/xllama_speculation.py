"""Generates with this project's Engine, with a kind of speculation."""

from __future__ import annotations

from functools import partial
from typing import Any

from protocol import Task, serve, speculation_figures

import xlc_core as xlc


def run(settings: dict[str, Any], arguments: list[str], command: dict[str, Any]) -> dict[str, Any]:
    """Run all prompts, one after the other, on a new engine that does not remember earlier measurements."""
    n_threads = settings["n_threads"]
    with xlc.Engine(
        settings["model"], n_ctx=settings["n_ctx"], n_parallel=1, n_threads=n_threads, n_threads_batch=n_threads,
        llama_args=arguments, progress=False,
    ) as engine:  # fmt: skip

        def request(prompt: str, n_tokens: int) -> dict[str, Any]:
            answer = engine.complete(prompt, max_tokens=n_tokens, temperature=0.0, ignore_eos=True, cache_prompt=False)
            timings = answer.timings
            return {
                "text": answer.text,
                "tokens": timings.generation_tokens,
                "seconds": timings.generation_seconds,
                "drafted": timings.draft_tokens,
                "accepted": timings.draft_accepted,
            }

        return speculation_figures(request, settings["prompts"], settings["n_tokens"])


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    return {name: partial(run, settings, arguments) for name, arguments in settings["arguments"].items()}


serve(open_peer)
