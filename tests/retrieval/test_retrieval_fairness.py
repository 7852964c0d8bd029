"""Embedding beside chat on one engine, and how soon a cancelled request frees the worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.retrieval_jobs import assert_abandoned, record_jobs
from helpers.waiting import await_until

LONG = "word " * 400


@pytest.fixture(scope="module")
def shared(smollm2_path: Path) -> Iterator[xlc.Engine]:
    """A generative model that embeds, too."""
    with xlc.Engine(smollm2_path, n_ctx=512, n_parallel=2, pooling="last", warmup=False) as engine:
        yield engine


def test_threads_chat_and_embed_at_once(shared: xlc.Engine) -> None:
    texts = [f"text number {number}" for number in range(12)]
    results: dict[str, Any] = {}

    def run(name: str, call: Any) -> None:
        results[name] = call()

    calls = {
        "chat": lambda: shared.chat("Count to ten.", max_tokens=24, ignore_eos=True),
        "other chat": lambda: shared.complete("Once upon a time", max_tokens=24, ignore_eos=True),
        "embed": lambda: shared.embed(texts),
        "stream": lambda: list(shared.embed_stream(texts, chunk_size=4)),
    }
    threads = [threading.Thread(target=run, args=item) for item in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert set(results) == set(calls)
    assert results["chat"].usage.completion_tokens == results["other chat"].usage.completion_tokens == 24
    cosines = np.einsum("ij,ij->i", results["embed"], np.stack(results["stream"]))
    assert cosines.min() > 1 - 1e-3


async def test_tasks_chat_and_embed_at_once(shared: xlc.Engine) -> None:
    texts = [f"text number {number}" for number in range(12)]
    done: list[str] = []

    async def chat() -> int:
        # Tokens that end within a character come together with the next, so the events do not count tokens.
        events = [event async for event in shared.astream_chat("Count.", max_tokens=48, ignore_eos=True)]
        done.append("chat")
        assert isinstance(events[-1], xlc.Finished)
        return events[-1].completion.usage.completion_tokens

    async def embed() -> Any:
        vectors = await shared.aembed(texts)
        done.append("embed")
        return vectors

    n_tokens, vectors, rows = await asyncio.gather(chat(), embed(), take(shared.aembed_stream(texts, chunk_size=4)))
    assert n_tokens == 48
    assert vectors.shape == (12, 576)
    assert len(rows) == 12
    assert set(done) == {"chat", "embed"}


async def take(stream: xlc.AsyncEmbeddingStream) -> list[Any]:
    return [row async for row in stream]


async def test_short_query_passes_stream(embedder: xlc.Engine) -> None:
    stream = embedder.embed_stream(LONG for _ in range(10_000))
    next(stream)
    n_before = stream._chunks.n_done()
    for _ in range(3):
        await embedder.aembed(["short"])
    # In turns with the one job of the stream that runs: three queries, and a few micro-batches of its.
    assert stream._chunks.n_done() - n_before < 40
    stream.close()


@pytest.mark.parametrize("kind", ["embed", "embed_tokens", "rerank"])
async def test_cancelled_request_frees_worker_at_once(
    embedder: xlc.Engine, reranker: xlc.Engine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = record_jobs(monkeypatch)
    engine = reranker if kind == "rerank" else embedder
    texts = [LONG] * 2000
    request = {
        "embed": lambda: engine.aembed(texts),
        "embed_tokens": lambda: engine.aembed_tokens(texts[:200]),
        "rerank": lambda: engine.arerank("q", texts),
    }[kind]()
    task = asyncio.create_task(request)
    assert await await_until(lambda: jobs and jobs[0].n_done)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_abandoned(jobs, lambda: engine.rerank("q", ["next"]) if kind == "rerank" else engine.embed(["next"]))
