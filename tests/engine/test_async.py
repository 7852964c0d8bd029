"""asyncio: the same answers, no thread per request, and a loop that is never held up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.retrieval_jobs import assert_abandoned, record_jobs
from helpers.threads import count_threads
from helpers.waiting import WorkCounter, await_until, is_idle, wait_until
from xlc_core._native import RetrievalJob

GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 8}
LONG: dict[str, Any] = {"max_tokens": 1500, "ignore_eos": True}


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[RetrievalJob]:
    return record_jobs(monkeypatch)


@pytest.fixture(autouse=True)
async def _no_request_goes_on_unheard(engine: xlc.Engine) -> AsyncIterator[None]:
    """A slot that was not freed would generate all the tokens of LONG before it is idle."""
    work = WorkCounter(engine)
    yield
    assert await await_until(lambda: is_idle(engine))
    assert work.generation_tokens() < LONG["max_tokens"]


async def test_twins_answer_alike(engine: xlc.Engine) -> None:
    assert (await engine.achat("Hello!", **GREEDY)).text == engine.chat("Hello!", **GREEDY).text
    assert (await engine.acomplete("1, 2, 3,", **GREEDY)).text == engine.complete("1, 2, 3,", **GREEDY).text


@pytest.mark.parametrize("call", ["stream_chat", "stream_complete"])
async def test_streams_have_the_same_events(engine: xlc.Engine, call: str) -> None:
    options = {**GREEDY, "logprobs": 2, "prompt_progress": True}
    events = list(getattr(engine, call)("1, 2, 3,", **options))
    async_events = [event async for event in getattr(engine, f"a{call}")("1, 2, 3,", **options)]
    assert [type(event) for event in async_events] == [type(event) for event in events]
    assert [e.text for e in async_events if isinstance(e, xlc.TextDelta)] == [
        e.text for e in events if isinstance(e, xlc.TextDelta)
    ]
    assert async_events[-1].completion.usage == events[-1].completion.usage


async def test_wrong_options_raise_before_anything_is_awaited(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="temprature"):
        engine.astream_chat("Hi", temprature=1)  # type: ignore[call-arg]
    stream = engine.astream_chat("Hi", constraint=xlc.Regex("("))  # compiled on a helper thread
    with pytest.raises(xlc.ConstraintError):
        await anext(stream)
    with pytest.raises(xlc.ContextOverflowError):
        await engine.achat("word " * 3000)
    with pytest.raises(xlc.ContextOverflowError):  # on the helper thread for long prompts
        await engine.achat("word " * 30_000)


async def test_cancel_before_first_event_ends_answer(engine: xlc.Engine) -> None:
    stream = engine.astream_chat("Count", **LONG)
    stream.cancel()
    events = [event async for event in stream]
    assert isinstance(events[-1], xlc.Finished)
    assert events[-1].completion.finish_reason == "cancelled"
    assert len(events[-1].completion.text) < 100


async def test_stream_text_matches_answer(engine: xlc.Engine) -> None:
    texts = [text async for text in engine.astream_chat("Hello!", **GREEDY).text()]
    assert len(texts) > 1
    assert (
        "".join(texts) == "".join(engine.stream_chat("Hello!", **GREEDY).text()) == engine.chat("Hello!", **GREEDY).text
    )


async def test_many_requests_at_once_need_no_threads(engine: xlc.Engine) -> None:
    n_threads = count_threads()
    tasks = [asyncio.create_task(engine.acomplete(f"{i}", max_tokens=2, ignore_eos=True)) for i in range(24)]
    assert await await_until(lambda: engine.metrics().requests_running)
    assert count_threads() == n_threads
    answers = await asyncio.gather(*tasks)
    assert [answer.usage.completion_tokens for answer in answers] == [2] * 24


async def test_loop_keeps_ticking(engine: xlc.Engine) -> None:
    turns_while_it_ran = 0

    async def tick() -> None:
        nonlocal turns_while_it_ran
        while True:
            await asyncio.sleep(0.001)
            turns_while_it_ran += engine.metrics().requests_running

    ticker = asyncio.create_task(tick())
    await asyncio.gather(
        engine.achat("word " * 200, max_tokens=10, ignore_eos=True, cache_prompt=False),
        engine.aembed(["word " * 50] * 2),
    )
    ticker.cancel()
    # A call that held up the loop would leave it no turn at all while the request runs.
    assert turns_while_it_ran >= 5


async def test_cancelling_a_task_frees_its_slot_at_once(engine: xlc.Engine) -> None:
    task = asyncio.create_task(engine.achat("Count", **LONG))
    assert await await_until(lambda: engine.metrics().requests_running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


async def test_cancelling_while_the_prompt_is_read_frees_the_slot(engine: xlc.Engine) -> None:
    work = WorkCounter(engine)
    task = asyncio.create_task(engine.achat("word " * 1900, cache_prompt=False, **{**LONG, "max_tokens": 100}))
    assert await await_until(lambda: engine.metrics().requests_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.prompt_tokens() < 1900  # a batch of 512 tokens is not broken off
    assert work.generation_tokens() == 0


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.01])
async def test_cancelling_while_a_long_prompt_is_tokenised_frees_the_slot(engine: xlc.Engine, delay: float) -> None:
    spaces = " " * 24_000  # so long that it is tokenised on a helper thread, yet few tokens
    task = asyncio.create_task(engine.acomplete(spaces, **LONG))
    await asyncio.sleep(delay)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    gc.collect()
    assert await await_until(lambda: is_idle(engine))


async def test_closing_after_a_break_frees_the_slot(engine: xlc.Engine) -> None:
    stream = engine.astream_chat("Count", **LONG)
    async for event in stream:
        assert isinstance(event, xlc.TextDelta)
        break
    await stream.aclose()
    await stream.aclose()
    assert await await_until(lambda: is_idle(engine))
    assert [event async for event in stream] == []
    with pytest.raises(xlc.RequestCancelledError):
        await stream.result()


async def test_dropped_stream_frees_the_slot(engine: xlc.Engine) -> None:
    stream = engine.astream_chat("Count", **LONG)
    await anext(stream)
    del stream
    assert await await_until(lambda: is_idle(engine))


async def test_request_starts_with_the_first_event(engine: xlc.Engine) -> None:
    async with engine.astream_chat("Count", **LONG) as stream:
        await asyncio.sleep(0.05)
        assert is_idle(engine)
        await anext(stream)
        assert engine.metrics().requests_running == 1
    assert await await_until(lambda: is_idle(engine))


async def test_cancel_keeps_earlier_events(engine: xlc.Engine) -> None:
    stream = engine.astream_chat("Count", **LONG)
    texts = []
    async for event in stream:
        if isinstance(event, xlc.Finished):
            assert event.completion.finish_reason == "cancelled"
            assert event.completion.text == "".join(texts)
        elif isinstance(event, xlc.TextDelta):
            texts.append(event.text)
            if len(texts) == 3:
                threading.Thread(target=stream.cancel).start()
    assert len(texts) >= 3


async def test_timeout_raises_and_frees_the_slot(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError, match=r"0\.2 s"):
        await engine.achat("Count", timeout=0.2, **LONG)
    assert await await_until(lambda: is_idle(engine))


async def test_asyncio_timeouts_work_too(engine: xlc.Engine) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(engine.achat("Count", **LONG), 0.2)
    assert await await_until(lambda: is_idle(engine))


async def test_retrieval_answers_alike(embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    texts = ["a llama", "", "the stock market"]
    np.testing.assert_allclose(await embedder.aembed(texts), embedder.embed(texts), atol=1e-6)
    rows = await embedder.aembed_tokens(texts)
    for row, expected in zip(rows, embedder.embed_tokens(texts), strict=True):
        np.testing.assert_allclose(row, expected, atol=1e-6)
    documents = ["A bank lends money.", "The llama is an animal of the Andes.", "Rivers have banks."]
    ranked = await reranker.arerank("What is a llama?", documents, top_n=2)
    assert ranked == reranker.rerank("What is a llama?", documents, top_n=2)


async def test_cancelling_retrieval_ends_it(embedder: xlc.Engine, jobs: list[RetrievalJob]) -> None:
    task = asyncio.create_task(embedder.aembed(["word " * 400] * 2000))
    assert await await_until(lambda: jobs and jobs[0].n_done)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(xlc.RequestTimeoutError):
        await embedder.aembed(["word " * 400] * 2000, timeout=0.1)
    assert len(jobs) == 2
    assert_abandoned(jobs, lambda: embedder.embed(["next"]))


def test_two_loops_in_two_threads_use_one_engine(engine: xlc.Engine) -> None:
    async def main(word: str) -> list[str]:
        return [answer.text for answer in await asyncio.gather(*(engine.acomplete(word, **GREEDY) for _ in range(3)))]

    results: dict[str, list[str]] = {}
    words = ["1, 2, 3,", "A, B, C,"]
    threads = [threading.Thread(target=lambda w=word: results.update({w: asyncio.run(main(w))})) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {word: set(texts) for word, texts in results.items()} == {
        word: {engine.complete(word, **GREEDY).text} for word in words
    }


@pytest.mark.filterwarnings("error")
def test_loop_may_close_while_a_request_runs(engine: xlc.Engine) -> None:
    loop = asyncio.new_event_loop()
    stream = engine.astream_chat("Count", **LONG)
    loop.run_until_complete(anext(stream))
    task = loop.create_task(anext(stream))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    kept = engine.astream_chat("Count", **{**LONG, "max_tokens": 5})
    loop.run_until_complete(anext(kept))
    loop.close()
    assert wait_until(lambda: is_idle(engine))  # events arrive for a loop that is gone
    del stream, kept
    gc.collect()
    asyncio.run(engine.achat("Hi", max_tokens=1))
