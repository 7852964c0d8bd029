"""The protocol of all workers: commands on stdin, answers on stdout, one JSON object per line.

It uses the standard library only, because each worker runs in its peer's virtual environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Task = Callable[[dict[str, Any]], dict[str, Any]]


def serve(open_peer: Callable[[dict[str, Any]], dict[str, Task]]) -> None:
    """Open the peer with the settings in the first line, then answer commands until stdin ends.

    Args:
        open_peer: takes the settings and returns the tasks by name.
    """
    # Some libraries print to stdout. Keep it for the protocol and give them stderr.
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
    """Return decode steps per second. The first token comes with the prompt and does not count."""
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
    """Run all prompts at once, each on a thread. Return the tokens per second of all, with reading the prompts.

    Args:
        request: runs one prompt and returns the number of tokens it generated.
        prompts: one per request.
    """
    with ThreadPoolExecutor(len(prompts)) as pool:
        start = time.perf_counter()
        n_tokens = sum(pool.map(request, prompts))
        seconds = time.perf_counter() - start
    return {"wall": n_tokens / seconds}


def retrieval_tasks(
    settings: dict[str, Any],
    embed: Callable[[list[str]], Any] | None = None,
    rerank: Callable[[str, list[str]], list[float]] | None = None,
) -> dict[str, Task]:
    """Return the measurements of an embedder or a reranker, depending on the settings.

    Args:
        settings: an embedder's ``texts`` and ``query``, or a reranker's ``queries`` and their ``passages``, and the
            file for the ``results``.
        embed: returns vectors of length 1 for texts, in their order.
        rerank: returns the scores of passages for a query, in their order.
    """
    last: list[Any] = []

    def work(texts: slice, queries: slice) -> int:
        """Embed these texts, or rerank for these queries. Return the number of texts or pairs."""
        if "texts" in settings:
            assert embed is not None
            last[:] = embed(settings["texts"][texts])
            return len(last)
        assert rerank is not None
        last[:] = map(rerank, settings["queries"][queries], settings["passages"][queries])
        return sum(map(len, last))

    def throughput(command: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        n_done = work(slice(None), slice(None))
        return {"wall": n_done / (time.perf_counter() - start)}

    def warm_up(command: dict[str, Any]) -> dict[str, Any]:
        return {"done": work(slice(64), slice(2))}

    def latency(command: dict[str, Any]) -> dict[str, Any]:
        assert embed is not None
        times = []
        for _ in range(20):
            start = time.perf_counter()
            embed([settings["query"]])
            times.append(time.perf_counter() - start)
        return {"wall": statistics.median(times) * 1000}

    def save(command: dict[str, Any]) -> dict[str, Any]:
        """Write the results of the last measurement as rows of float32. Return the most memory that was used."""
        with open(settings["results"], "wb") as file:
            for row in last:
                array("f", row).tofile(file)
        return {"rows": len(last), "peak_bytes": peak_bytes()}

    return {"throughput": throughput, "warm-up": warm_up, "latency": latency, "save": save}


def peak_bytes() -> int:
    """Return the most memory that this process had in RAM, with mapped files; 0 if that is unknown."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def speculation_figures(
    request: Callable[[str, int], dict[str, Any]], prompts: list[str], n_tokens: int
) -> dict[str, Any]:
    """Run all prompts one after the other. Return decode steps per second by llama.cpp's timings, and draft counts.

    Args:
        request: generates so many tokens; returns ``text``, ``tokens``, ``seconds``, ``drafted`` and ``accepted``.
        prompts: one for each request.
        n_tokens: tokens to generate.
    """
    request("Once upon a time", 8)  # warms up
    start = time.perf_counter()
    answers = [request(prompt, n_tokens) for prompt in prompts]
    seconds = time.perf_counter() - start
    steps = sum(answer["tokens"] - 1 for answer in answers)
    return {
        "wall": steps / sum(answer["seconds"] for answer in answers),
        "seconds": seconds,
        "drafted": sum(answer["drafted"] for answer in answers),
        "accepted": sum(answer["accepted"] for answer in answers),
        "texts": hashlib.sha256(json.dumps([answer["text"] for answer in answers]).encode()).hexdigest(),
    }
