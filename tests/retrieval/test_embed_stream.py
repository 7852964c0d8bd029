"""Embedding iterables: order, constant memory, back-pressure, endings, and errors at their places."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.retrieval_jobs import assert_abandoned, record_jobs
from helpers.waiting import await_until, wait_until
from xlc_core.retrieval import streams
from xlc_core.retrieval.jobs import ProgressReport

READ_AHEAD = 16 + 3 * 8 + 8  # of chunk_size=8: the first chunk, three in flight, and one that is being filled


def some_texts(n: int) -> list[str]:
    return [f"text number {number} " + "word " * (number % 17) for number in range(n)]


def endless(read: list[int]) -> Iterator[str]:
    for number in itertools.count():
        read.append(number)
        yield f"text number {number}"


async def asynchronous(texts: Any) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        yield text


async def take_into(taken: list[Any], stream: xlc.AsyncEmbeddingStream) -> None:
    async for row in stream:
        taken.append(row)  # noqa: PERF401 -- what came before an error is wanted


def similar(vectors: Any, others: Any) -> bool:
    return bool(np.einsum("ij,ij->i", np.asarray(vectors), np.asarray(others)).min() > 1 - 1e-3)


async def test_vectors_come_in_order_from_every_kind_of_iterable(embedder: xlc.Engine) -> None:
    texts = some_texts(150)
    expected = embedder.embed(texts)
    assert similar(list(embedder.embed_stream(texts, chunk_size=32)), expected)
    assert similar(list(embedder.embed_stream(iter(texts))), expected)
    assert similar([row async for row in embedder.aembed_stream(texts, chunk_size=32)], expected)
    assert similar([row async for row in embedder.aembed_stream(asynchronous(texts))], expected)


async def test_chunks_are_arrays_and_take_over_where_rows_ended(embedder: xlc.Engine) -> None:
    texts = some_texts(70)
    stream = embedder.embed_stream(texts, chunk_size=20, dimensions=64, dtype="float16")
    first = next(stream)
    chunks = list(stream.chunks())
    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.float16)}
    assert max(len(chunk) for chunk in chunks) == 20
    together = np.concatenate([first[np.newaxis], *chunks]).astype(np.float32)
    assert together.shape == (70, 64)
    assert similar(together, embedder.embed(texts, dimensions=64))
    asynchronously = [chunk async for chunk in embedder.aembed_stream(texts, chunk_size=20).chunks()]
    assert sum(len(chunk) for chunk in asynchronously) == 70
    assert next(stream, None) is None


def test_empty_stream_yields_nothing(embedder: xlc.Engine) -> None:
    assert list(embedder.embed_stream([])) == []
    assert list(embedder.embed_stream(iter([])).chunks()) == []


def test_options_go_to_model(embedder: xlc.Engine) -> None:
    rows = list(embedder.embed_stream(["a llama", "word " * 700], prompt="query: ", truncate="end", normalize=False))
    expected = embedder.embed(["a llama", "word " * 700], prompt="query: ", truncate="end", normalize=False)
    np.testing.assert_allclose(np.stack(rows), expected, atol=2e-2)


def test_texts_are_read_as_vectors_are_taken_and_no_further(embedder: xlc.Engine) -> None:
    read: list[int] = []
    with embedder.embed_stream(endless(read), chunk_size=8) as stream:
        assert read == []
        for n_taken in range(1, 200):
            next(stream)
            assert n_taken <= len(read) <= n_taken + READ_AHEAD
    n_read = len(read)
    assert list(stream) == []
    assert len(read) == n_read


def test_memory_does_not_grow_with_number_of_texts(embedder: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts what is alive: the arrays of chunks, whose memory the jobs hold, and the texts."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Text(str):
        __slots__ = ("__weakref__",)

    def source() -> Iterator[str]:
        for number in range(1600):
            text = Text(f"text {number}")
            alive.add(text)
            yield text

    most_texts = most_arrays = 0
    buffers: list[weakref.ref[Any]] = []
    original = streams.quantize_embeddings

    def watched(vectors: Any, *args: Any, **kwargs: Any) -> Any:
        buffers.append(weakref.ref(vectors))
        return original(vectors, *args, **kwargs)

    monkeypatch.setattr(streams, "quantize_embeddings", watched)
    n_rows = 0
    for _ in embedder.embed_stream(source(), chunk_size=32):
        n_rows += 1
        most_texts = max(most_texts, len(alive))
        most_arrays = max(most_arrays, sum(buffer() is not None for buffer in buffers))
    assert n_rows == 1600
    assert len(buffers) > 40
    assert most_texts <= 33  # one chunk that is being filled: those of the others are the worker's
    assert most_arrays <= 2


@pytest.mark.parametrize("ending", ["close", "drop", "with"])
def test_abandoned_stream_frees_worker(embedder: xlc.Engine, ending: str) -> None:
    stream = embedder.embed_stream(("word " * 100 for _ in range(100_000)), chunk_size=512)
    next(stream)
    in_flight = list(stream._chunks._in_flight)
    assert 1 <= len(in_flight) <= 3
    if ending == "close":
        stream.close()
        stream.close()
    elif ending == "with":
        with stream:
            pass
    del stream
    gc.collect()
    assert all(job.wait(0) for job in in_flight)
    with pytest.raises(xlc.RequestCancelledError):
        in_flight[-1].result()
    assert_abandoned(in_flight, lambda: embedder.embed(["next"]))


def test_another_thread_can_close_stream_that_waits(embedder: xlc.Engine) -> None:
    stream = embedder.embed_stream(["word " * 200] * 4000, chunk_size=4000)
    next(stream)  # 16 of them
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(sum(1 for _ in stream)))
    thread.start()
    stream.close()
    thread.join(60)
    assert not thread.is_alive()
    assert taken[0] < 3999


async def test_cancelled_task_ends_its_stream(embedder: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = record_jobs(monkeypatch)
    stream = embedder.aembed_stream(["word " * 200] * 4000, chunk_size=4000)
    await anext(stream)

    async def take_all() -> int:
        return len([row async for row in stream])

    task = asyncio.create_task(take_all())
    assert await await_until(lambda: jobs[1].n_done)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row async for row in stream] == []
    assert_abandoned(jobs, lambda: embedder.embed(["next"]))


async def test_async_stream_can_be_closed_early(embedder: xlc.Engine) -> None:
    async with embedder.aembed_stream(asynchronous(some_texts(500)), chunk_size=16) as stream:
        async for _ in stream:
            break
    assert [row async for row in stream] == []


class SourceError(Exception):
    pass


async def test_error_of_source_comes_after_vectors_before_it(embedder: xlc.Engine) -> None:
    def source() -> Iterator[str]:
        yield from some_texts(50)
        raise SourceError("the cursor is gone")

    stream = embedder.embed_stream(source(), chunk_size=8)
    assert sum(1 for _ in itertools.islice(stream, 50)) == 50
    with pytest.raises(SourceError, match="cursor"):
        next(stream)
    assert next(stream, None) is None
    taken: list[Any] = []
    with pytest.raises(SourceError, match="cursor"):
        await take_into(taken, embedder.aembed_stream(asynchronous(source()), chunk_size=8))
    assert len(taken) == 50


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        ("word " * 700, xlc.InputTooLongError, "text 75 has 702 tokens"),
        ("\ud800", xlc.InvalidRequestError, "text 75 holds a lone surrogate"),
        (None, xlc.InvalidRequestError, "text 75 must be a str, not NoneType"),
    ],
)
async def test_error_in_text_counts_from_start_of_stream(
    embedder: xlc.Engine, bad: Any, kind: type[xlc.XllamaError], message: str
) -> None:
    texts = [*some_texts(75), bad, *some_texts(200)]
    taken: list[Any] = []
    with pytest.raises(kind, match=message) as caught:
        taken.extend(embedder.embed_stream(iter(texts), chunk_size=16))
    assert len(taken) == 64
    if isinstance(caught.value, xlc.InputTooLongError):
        assert caught.value.index == 75
    with pytest.raises(kind, match=message):
        await take_into([], embedder.aembed_stream(asynchronous(texts), chunk_size=16))


@pytest.mark.parametrize("texts", ["one text", b"bytes", 3, None])
def test_invalid_iterable_is_refused(embedder: xlc.Engine, texts: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="iterable of str"):
        embedder.embed_stream(texts)
    with pytest.raises(xlc.InvalidRequestError, match="iterable of str"):
        embedder.aembed_stream(texts)


def test_unknown_options_are_refused_before_anything_is_read(embedder: xlc.Engine) -> None:
    read: list[int] = []
    with pytest.raises(xlc.InvalidRequestError, match="did you mean 'chunk_size'"):
        embedder.embed_stream(endless(read), chunksize=3)  # type: ignore[call-arg]
    assert read == []


def test_chunk_may_take_so_long(embedder: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError):
        list(embedder.embed_stream(["word " * 200] * 4000, chunk_size=4000, timeout=0.05))
    assert embedder.embed(["next"], timeout=20).shape == (1, 384)


def test_slow_source_does_not_delay_finished_vectors(embedder: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = record_jobs(monkeypatch)
    read: list[int] = []

    def slow() -> Iterator[str]:
        for number in range(200):
            read.append(number)
            if number == 20:
                assert wait_until(lambda: jobs[0].n_done == 16)
            yield f"text {number}"

    with embedder.embed_stream(slow()) as stream:
        next(stream)
        assert len(read) <= 22


def test_closed_engine_ends_its_streams() -> None:
    with xlc.Engine("all-minilm-l6-v2") as engine:
        stream = engine.embed_stream(endless([]), chunk_size=8)
        next(stream)
    with pytest.raises(xlc.EngineClosedError):
        list(stream)


async def test_progress_goes_to_function(embedder: xlc.Engine) -> None:
    calls: list[tuple[int, int | None]] = []
    texts = some_texts(100)

    def report(done: int, total: int | None) -> None:
        calls.append((done, total))

    list(embedder.embed_stream(texts, chunk_size=16, progress=report))
    assert calls[-1] == (100, 100)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    calls.clear()
    list(embedder.embed_stream(iter(texts), chunk_size=16, progress=report))
    assert calls[-1] == (100, None)
    for call in (
        lambda: embedder.embed(texts, progress=report),
        lambda: embedder.embed_tokens(texts, progress=report),
    ):
        calls.clear()
        call()
        assert calls[-1] == (100, 100)
    calls.clear()
    await embedder.aembed(texts, progress=report)
    assert calls[-1] == (100, 100)
    calls.clear()
    _ = [row async for row in embedder.aembed_stream(asynchronous(texts), progress=report)]
    assert calls[-1] == (100, None)


def test_reranking_reports_too(reranker: xlc.Engine) -> None:
    calls: list[tuple[int, int | None]] = []
    reranker.rerank("q", ["a", "b"], progress=lambda *call: calls.append(call))
    assert calls[-1] == (2, 2)


def test_error_in_progress_function_ends_request(embedder: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int | None) -> None:
        raise SourceError("enough")

    jobs = record_jobs(monkeypatch)
    with pytest.raises(SourceError):
        embedder.embed(["word " * 200] * 20_000, progress=stop)
    with pytest.raises(SourceError):
        list(embedder.embed_stream(["word " * 200] * 20_000, chunk_size=4000, progress=stop))
    assert_abandoned(jobs, lambda: embedder.embed(["next"]))


def test_bar_counts_stream(embedder: xlc.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    list(embedder.embed_stream(some_texts(40), progress=True))
    assert "40/40" in capsys.readouterr().err


def test_report_is_made_once_for_each_number() -> None:
    calls: list[tuple[int, int | None]] = []
    with ProgressReport(lambda *call: calls.append(call), 3) as report:
        for done in (0, 0, 1, 3, 3):
            report.update(done)
    assert calls == [(0, 3), (1, 3), (3, 3)]
