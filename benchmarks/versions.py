"""Compares this xllama with an older one: generation, embedding and reranking, in turns.

    python benchmarks/versions.py --before PYTHON [--write docs/benchmarks.md]

``PYTHON`` is an interpreter with the older version. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path

from corpora import lexical_neighbours, mixed_texts, read_corpus
from measure import Contender, Task
from settings import Settings, add_common_options, settings_of
from tables import comparison, disturbance, write_section

import generation
from retrieval import EMBEDDER, N_CTX, N_WORDS, QUERY, RERANKER
from xlc_core.models import catalog


def tasks(settings: Settings, n_texts: int, n_queries: int) -> list[Task]:
    """Return the measurements, with the models and texts of engine.py and retrieval.py."""
    corpus = read_corpus(settings.data)
    queries = corpus.queries[:n_queries]
    common = {"n_threads": settings.n_threads, "n_ctx": N_CTX, "results": os.devnull}
    common |= {"catalog": os.environ.get("XLLAMA_CATALOG", ""), "engine_options": {}}
    embedding = {**common, "model": EMBEDDER, "texts": mixed_texts(corpus, n_texts, N_WORDS), "query": QUERY}
    reranking = {
        **common, "model": RERANKER, "queries": [query.text for query in queries],
        "passages": lexical_neighbours(corpus, queries, 20),
    }  # fmt: skip
    writing = {
        "model": str(catalog.resolve(generation.MODEL).path),
        "n_threads": settings.n_threads, "n_tokens": settings.n_tokens, "n_ctx": generation.N_CTX, "n_parallel": 1,
        "prompts": [f"Write a long story about {topic}." for topic in generation.TOPICS],
    }  # fmt: skip
    together = {**writing, "n_parallel": generation.N_PARALLEL}
    script = "xllama_generation"
    return [
        Task("Engine.complete", "tokens/s", script, writing, "complete", "complete"),
        Task("Engine.stream_chat", "tokens/s", script, writing, "stream_chat", "stream_chat"),
        Task("Engine.stream_chat, 8 at once", "tokens/s", script, together, *["stream_chat_together"] * 2),
        Task("Engine.embed", "texts/s", "xllama_retrieval", embedding, "throughput", "warm-up"),
        Task("Engine.embed, one query", "ms", "xllama_retrieval", embedding, "latency", "warm-up"),
        Task("Engine.rerank", "pairs/s", "xllama_retrieval", reranking, "throughput", "warm-up"),
    ]


def section(measured: list[tuple[Task, list[Contender]]], settings: Settings) -> str:
    """Return a table for each task."""
    intro = f"Medians over {settings.n_rounds} rounds (least–greatest); ratios are taken round by round."
    parts = ["## An older version", textwrap.fill(f"{intro} {settings.machine}", 120)]
    for task, rows in measured:
        digits = 2 if task.unit == "ms" else 1
        parts += [f"### {task.title}", comparison(rows, task.unit, digits)]
    parts += [disturbance([row for _, rows in measured for row in rows]), f"`{settings.command}`"]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 7)
    parser.add_argument("--before", type=Path, metavar="PYTHON", required=True, help="one with an older xllama")
    parser.add_argument("--data", type=Path, metavar="FILE", help="as retrieval.py has it")
    options = parser.parse_args()
    settings = settings_of(options, sys.argv[1:], "versions.py", n_tokens=32 if options.quick else 128)
    versions: dict[str, tuple[Path, dict[str, str]]] = {
        "before": (options.before, {}),
        "now": (Path(sys.executable), {}),
    }
    chosen = tasks(settings, 64 if options.quick else 400, 2 if options.quick else 10)
    text = section([(task, task.measure(versions, settings)) for task in chosen], settings)
    print(text, flush=True)
    if options.write is not None:
        write_section(options.write, "versions", text)


if __name__ == "__main__":
    main()
