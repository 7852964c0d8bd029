"""What the workers have in common: commands come in on stdin, answers go out on stdout, one JSON object a line.

It uses the standard library only, because each worker runs in its peer's own virtual environment.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Task = Callable[[dict[str, Any]], dict[str, Any]]


def serve(open_peer: Callable[[dict[str, Any]], dict[str, Task]]) -> None:
    """Open the peer with the settings in the first line, then answer commands until stdin ends.

    Args:
        open_peer: takes the settings and returns the tasks by name.
    """
    # Libraries print to stdout as they like: keep it for the protocol and give them stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    tasks: dict[str, Task] = {}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if not tasks:
                tasks = open_peer(command)
                answer: dict[str, Any] = {"tasks": sorted(tasks)}
            else:
                answer = tasks[command["task"]](command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def steps_per_second(n_tokens: int, seconds: float) -> float:
    """Decode steps per second: the first token comes with the prompt and is free."""
    return (n_tokens - 1) / seconds if seconds > 0 else 0.0


def time_stream(chunks: Iterable[bool]) -> float:
    """Run a stream to its end and return the seconds from the first text to the end.

    Args:
        chunks: True for each chunk that carries text.
    """
    first = None
    for has_text in chunks:
        if has_text and first is None:
            first = time.perf_counter()
    return 0.0 if first is None else time.perf_counter() - first


def time_together(request: Callable[[str], int], prompts: list[Any]) -> dict[str, Any]:
    """Run all prompts at once, a thread each; tokens per second over all, prompt reading included.

    Args:
        request: runs one prompt and returns the number of tokens it generated.
        prompts: one per request.
    """
    with ThreadPoolExecutor(len(prompts)) as pool:
        start = time.perf_counter()
        n_tokens = sum(pool.map(request, prompts))
        seconds = time.perf_counter() - start
    return {"wall": n_tokens / seconds}


def embedding_tasks(embed: Callable[[list[str]], Any], texts: list[str], query: str) -> dict[str, Task]:
    """The two measurements of an embedder: all texts in one call, and one query at a time."""

    def throughput(command: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        embed(texts)
        seconds = time.perf_counter() - start
        return {"wall": len(texts) / seconds}

    def latency(command: dict[str, Any]) -> dict[str, Any]:
        times = []
        for _ in range(20):
            start = time.perf_counter()
            embed([query])
            times.append(time.perf_counter() - start)
        return {"wall": 1 / statistics.median(times)}

    return {"throughput": throughput, "latency": latency}
