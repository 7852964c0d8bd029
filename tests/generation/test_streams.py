"""Streams of events from threads: what they hold, how they end, and that their slots are free afterwards."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import xlc_core as xlc
from helpers.waiting import WorkCounter, is_idle, wait_until

LONG: dict[str, Any] = {"max_tokens": 1500, "ignore_eos": True}


def text_of(events: list[xlc.Event], index: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, xlc.TextDelta) and event.index == index)


@pytest.fixture(autouse=True)
def _no_request_goes_on_unheard(engine: xlc.Engine) -> Any:
    """A slot that was not freed would generate all the tokens of LONG before it is idle."""
    work = WorkCounter(engine)
    yield
    assert work.generation_tokens() < LONG["max_tokens"]


@pytest.mark.parametrize("stop", [[], [" 8"], [", 9, 10"]])
@pytest.mark.parametrize("call", ["stream_chat", "stream_complete"])
def test_deltas_make_up_the_text(engine: xlc.Engine, call: str, stop: list[str]) -> None:
    events = list(getattr(engine, call)("Count: 1, 2, 3, 4, 5, 6,", max_tokens=12, stop=stop, temperature=0))
    finished = [event for event in events if isinstance(event, xlc.Finished)]
    assert finished == events[-1:]
    assert text_of(events) == finished[0].completion.text
    assert len(events) > 2


def test_result_may_be_asked_for_at_any_time(engine: xlc.Engine) -> None:
    with engine.stream_chat("Count: 1, 2, 3,", max_tokens=8, temperature=0) as stream:
        text = "".join(stream.text())
        completion = stream.result()
    assert completion.text == text
    assert stream.result() is completion  # after the end of the block too
    with engine.stream_chat("Count: 1, 2, 3,", max_tokens=8, temperature=0) as begun:
        next(begun)
        assert begun.result().text == text
    with engine.stream_chat("Count", **LONG) as unread:
        pass
    with pytest.raises(xlc.RequestCancelledError, match="closed before its end"):
        unread.result()


async def test_result_of_an_async_stream_may_be_asked_for_at_any_time(engine: xlc.Engine) -> None:
    async with engine.astream_chat("Count: 1, 2, 3,", max_tokens=8, temperature=0) as stream:
        text = "".join([piece async for piece in stream.text()])
        completion = await stream.result()
    assert completion.text == text
    assert await stream.result() is completion
    async with engine.astream_chat("Count", **LONG) as unread:
        await anext(unread)
    with pytest.raises(xlc.RequestCancelledError, match="closed before its end"):
        await unread.result()


def test_deltas_of_a_continued_message_make_up_the_text(engine: xlc.Engine) -> None:
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1, 2, 3, 4, 5,"}]
    options: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 8}
    events = list(engine.stream_chat(messages, **options))
    assert text_of(events).startswith(" 6, 7,")
    assert events[-1].completion.text == text_of(events)  # type: ignore[union-attr]
    assert engine.chat(messages, **options).text == text_of(events)


def test_several_answers_are_told_apart(engine: xlc.Engine) -> None:
    events = list(engine.stream_chat("Say a random word.", n=3, max_tokens=6, temperature=1.5))
    (finished,) = [event for event in events if isinstance(event, xlc.Finished)]
    assert events[-1] is finished
    assert [choice.text for choice in finished.completion.choices] == [text_of(events, index) for index in range(3)]


def test_progress_of_a_long_prompt_goes_up_to_its_end() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, n_batch=64) as small:
        events = list(small.stream_complete("word" + " word" * 249, max_tokens=1, prompt_progress=True))
    progress = [event for event in events if isinstance(event, xlc.PromptProgress)]
    seen = [event.n_processed for event in progress]
    assert len(seen) >= 4  # 250 tokens in batches of 64
    assert seen == sorted(set(seen))
    assert {(event.n_tokens, event.n_cached) for event in progress} == {(250, 0)}
    assert seen[-1] == 250
    assert [event.seconds for event in progress] == sorted(event.seconds for event in progress)
    assert all(isinstance(event, xlc.PromptProgress) for event in events[: len(progress)])


def test_no_progress_comes_unasked(engine: xlc.Engine) -> None:
    assert not any(isinstance(event, xlc.PromptProgress) for event in engine.stream_complete("Hi", max_tokens=1))


def test_closing_frees_the_slot_and_ends_the_stream(engine: xlc.Engine) -> None:
    stream = engine.stream_chat("Count", **LONG)
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []
    assert wait_until(lambda: is_idle(engine))
    with pytest.raises(xlc.RequestCancelledError, match="closed before its end"):
        stream.result()


def test_dropping_the_iterator_frees_the_slot(engine: xlc.Engine) -> None:
    stream = engine.stream_chat("Count", **LONG)
    next(stream)
    del stream
    assert wait_until(lambda: is_idle(engine))


def test_dropping_a_stream_that_was_never_read_frees_the_slot(engine: xlc.Engine) -> None:
    engine.stream_chat("Count", **LONG)
    assert wait_until(lambda: is_idle(engine))


def test_leaving_the_with_block_frees_the_slot(engine: xlc.Engine) -> None:
    with engine.stream_chat("Count", **LONG) as stream:
        assert next(iter(stream))
        assert engine.metrics().requests_running == 1
    assert wait_until(lambda: is_idle(engine))


def test_error_in_the_loop_body_frees_the_slot(engine: xlc.Engine) -> None:
    def consume() -> None:
        for _ in engine.stream_chat("Count", **LONG):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert wait_until(lambda: is_idle(engine))


def test_cancelling_from_another_thread_gives_the_text_so_far(engine: xlc.Engine) -> None:
    stream = engine.stream_chat("Count", **LONG)
    events = [next(stream)]
    threading.Thread(target=stream.cancel).start()
    events += list(stream)
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    assert finished.completion.finish_reason == "cancelled"
    assert finished.completion.text == text_of(events) != ""
    assert list(stream) == []


def test_cancelling_after_the_end_changes_nothing(engine: xlc.Engine) -> None:
    stream = engine.stream_chat("Hello!", max_tokens=2, ignore_eos=True)
    assert wait_until(lambda: stream._reader.generation.finished)  # later than the slot is free
    stream.cancel()
    assert stream.result().finish_reason == "length"
    stream.cancel()


def test_interrupt_before_there_is_a_stream_frees_the_slot(engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xlc_core.engine.base.EventReader", interrupted)
    counter = WorkCounter(engine)
    with pytest.raises(KeyboardInterrupt):
        engine.stream_chat("Count", **LONG)
    gc.collect()
    assert counter.generation_tokens() < LONG["max_tokens"] // 4


def test_timeout_ends_a_stream_with_an_error(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError):
        list(engine.stream_chat("Count", timeout=0.3, **LONG))
    assert wait_until(lambda: is_idle(engine))


def test_request_that_waits_can_be_cancelled(engine: xlc.Engine) -> None:
    busy = [engine.stream_chat("Count", **LONG) for _ in range(4 * 3)]
    last = engine.stream_chat("Count", **LONG)
    assert engine.metrics().requests_waiting >= 1
    last.cancel()
    assert last.result().finish_reason == "cancelled"
    for stream in busy:
        stream.close()
    assert wait_until(lambda: is_idle(engine))


def test_many_threads_get_their_own_answers(engine: xlc.Engine) -> None:
    words = ["apple", "bread", "chair", "dance", "eagle", "fruit", "grape", "horse", "knife", "lemon", "music", "night"]

    def ask(word: str) -> str:
        return engine.complete(", ".join([word] * 12) + ",", temperature=0, seed=1, max_tokens=3).text

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, words))
    for word, answer in zip(words, answers, strict=True):
        assert word in answer


def test_same_request_gives_the_same_text_among_others(engine: xlc.Engine) -> None:
    def ask(_: int) -> str:
        return engine.complete("1, 2, 3, 4, 5,", temperature=0, seed=1, max_tokens=5).text

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(12))) == {ask(0)}


def test_waiting_requests_are_served_in_the_order_they_came() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, warmup=False) as small:
        served: list[int] = []
        streams = [small.stream_complete("Hi", max_tokens=3, ignore_eos=True) for _ in range(6)]

        def consume(number: int) -> None:
            next(streams[number])
            served.append(number)

        threads = [threading.Thread(target=consume, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert served == list(range(6))


def test_request_for_several_answers_is_not_overtaken_for_ever(engine: xlc.Engine) -> None:
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            engine.complete("Busy", max_tokens=4, ignore_eos=True)

    threads = [threading.Thread(target=keep_busy) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        answer = engine.complete("Four of us", n=4, max_tokens=3, ignore_eos=True, timeout=30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(answer.choices) == 4


def test_request_runs_whether_or_not_anybody_listens(engine: xlc.Engine) -> None:
    stream = engine.stream_chat("Hi", max_tokens=3, ignore_eos=True)
    assert wait_until(lambda: is_idle(engine))
    assert stream.result().usage.completion_tokens == 3
