"""How long a model thinks: budgets counted in tokens, a switch, and where the thinking goes.

SmolLM2 does not think; a template that opens ``<think>`` makes it write there what it would have answered.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.waiting import await_until, wait_until

TALE = "Write a long story about a llama."
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 32}


@pytest.fixture(scope="module")
def thinker() -> Iterator[xlc.Engine]:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2, chat_template=THINKING_TEMPLATE) as engine:
        yield engine


def thoughts(stream: xlc.EventStream, stop_after: int) -> xlc.Completion:
    n = 0
    for event in stream:
        if isinstance(event, xlc.ReasoningDelta):
            n += 1
            if n == stop_after:
                stream.stop_thinking()
        if isinstance(event, xlc.Finished):
            return event.completion
    raise AssertionError("no end")


def test_without_a_budget_the_model_thinks_on(thinker: xlc.Engine) -> None:
    answer = thinker.chat(TALE, **GREEDY)
    assert (answer.usage.reasoning_tokens, answer.text) == (32, "")


@pytest.mark.parametrize("budget", [0, 1, 7, 20])
def test_budget_is_as_many_tokens(thinker: xlc.Engine, budget: int) -> None:
    free = thinker.chat(TALE, **GREEDY).reasoning
    raw = thinker.chat(TALE, thinking_budget=budget, reasoning_format="none", **GREEDY).text
    start, end = "<think>\n", "</think>"
    assert raw.startswith(start)
    thought, _, answer = raw.removeprefix(start).partition(end)
    assert len(thinker.tokenize(thought)) == budget
    assert free.startswith(thought)
    assert answer.strip()

    apart = thinker.chat(TALE, thinking_budget=budget, **GREEDY)
    assert apart.reasoning.strip() == thought.strip()
    assert apart.text.strip() == answer.strip()
    assert apart.usage.reasoning_tokens <= budget


def test_budget_holds_for_streams_and_for_each_of_several_answers(thinker: xlc.Engine) -> None:
    streamed = thinker.stream_chat(TALE, thinking_budget=7, **GREEDY).result()
    assert streamed.reasoning == thinker.chat(TALE, thinking_budget=7, **GREEDY).reasoning
    several = thinker.chat(TALE, thinking_budget=7, n=2, max_tokens=24, temperature=1, seed=3)
    for choice in several.choices:
        assert len(thinker.tokenize(choice.reasoning)) <= 7
        assert choice.text


def test_message_comes_between_the_thinking_and_the_answer(thinker: xlc.Engine) -> None:
    answer = thinker.chat(TALE, thinking_budget=7, thinking_budget_message="\nEnough of that.\n", **GREEDY)
    assert answer.reasoning.endswith("\nEnough of that.\n")
    assert answer.text
    with pytest.raises(xlc.InvalidRequestError, match="thinking_budget_message: it holds the lone surrogate"):
        thinker.chat(TALE, thinking_budget=7, thinking_budget_message="\ud800")


def test_thinking_that_is_off_needs_no_budget(thinker: xlc.Engine) -> None:
    plain = thinker.chat(TALE, thinking=False, **GREEDY)
    limited = thinker.chat(TALE, thinking=False, thinking_budget=3, thinking_budget_message="no no no", **GREEDY)
    assert (limited.reasoning, limited.text) == ("", plain.text)
    assert plain.text


def test_engines_budget_holds_unless_a_request_has_its_own() -> None:
    with xlc.Engine(
        "smollm2-135m-instruct",
        n_ctx=1024,
        n_parallel=1,
        chat_template=THINKING_TEMPLATE,
        thinking_budget=4,
        thinking_budget_message="Stop.",
        reasoning_format="none",
    ) as engine:
        of_engine = engine.chat(TALE, **GREEDY).text
        assert len(engine.tokenize(of_engine.removeprefix("<think>\n").partition("Stop.</think>")[0])) == 4
        of_request = engine.chat(
            TALE, thinking_budget=9, thinking_budget_message="", reasoning_format="deepseek", **GREEDY
        )
        assert len(engine.tokenize(of_request.reasoning)) == 9


def test_model_that_does_not_think_is_not_limited(engine: xlc.Engine) -> None:
    engine.chat(TALE, **GREEDY)  # a prompt out of the cache is rounded in another way
    plain = engine.chat(TALE, **GREEDY)
    assert engine.chat(TALE, thinking_budget=0, thinking_budget_message="x", **GREEDY).text == plain.text
    stream = engine.stream_chat(TALE, **GREEDY)
    stream.stop_thinking()
    assert stream.result().text == plain.text


def test_stream_can_stop_thinking(thinker: xlc.Engine) -> None:
    options = {**GREEDY, "max_tokens": 200}
    stopped = thoughts(thinker.stream_chat(TALE, thinking_budget_message=" So:", **options), stop_after=5)
    n_thought = len(thinker.tokenize(stopped.reasoning.removesuffix(" So:")))
    assert stopped.reasoning.endswith(" So:")
    assert 5 < n_thought < 60  # the stream is read while the model goes on
    assert stopped.text
    free = thinker.chat(TALE, **options)
    assert free.reasoning.startswith(stopped.reasoning.removesuffix(" So:"))
    assert free.usage.reasoning_tokens > n_thought


def test_one_that_waits_for_its_slot_does_not_begin_to_think(thinker: xlc.Engine) -> None:
    with (
        thinker.stream_chat(TALE, max_tokens=300, ignore_eos=True) as first,
        thinker.stream_chat(TALE, max_tokens=300, ignore_eos=True) as second,
        thinker.stream_chat(TALE, **GREEDY) as waiting,
    ):
        next(first)
        next(second)
        waiting.stop_thinking()
        first.close()
        answer = waiting.result()
    assert len(thinker.tokenize(answer.reasoning)) <= 1
    assert answer.text


def test_stopping_again_or_later_does_nothing(thinker: xlc.Engine) -> None:
    question = "What is bread?"  # its short answer does not think a second time, which the switch would end too
    limited = thinker.chat(question, thinking_budget=3, **GREEDY)
    stream = thinker.stream_chat(question, thinking_budget=3, **GREEDY)
    events = []
    for event in stream:
        events.append(event)
        if isinstance(event, xlc.TextDelta):
            stream.stop_thinking()
            stream.stop_thinking()
    assert "".join(event.text for event in events if isinstance(event, xlc.TextDelta)) == limited.text
    stream.stop_thinking()


def test_async_stream_can_stop_thinking_before_start_and_later(thinker: xlc.Engine) -> None:
    async def run() -> None:
        early = thinker.astream_chat(TALE, **GREEDY)
        early.stop_thinking()
        answer = await early.result()
        assert len(thinker.tokenize(answer.reasoning)) <= 1
        assert answer.text
        late = thinker.astream_chat(TALE, temperature=0, max_tokens=200)
        async for event in late:
            if isinstance(event, xlc.ReasoningDelta):
                late.stop_thinking()
            if isinstance(event, xlc.Finished):
                assert event.completion.text
                assert event.completion.usage.reasoning_tokens < 60

    asyncio.run(run())


def test_constraint_holds_after_the_budget(thinker: xlc.Engine) -> None:
    answer = thinker.chat(
        TALE, thinking_budget=6, thinking_budget_message=" So:", constraint=xlc.Choice("llama", "alpaca"), **GREEDY
    )
    assert answer.text.strip() in {"llama", "alpaca"}
    assert len(thinker.tokenize(answer.reasoning.removesuffix(" So:"))) == 6


def test_tool_is_called_after_the_budget(thinker: xlc.Engine) -> None:
    tool = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    answer = thinker.chat(
        "What is the weather in Rome?", tools=[tool], tool_choice="required", thinking_budget=6, temperature=0,
        max_tokens=64,
    )  # fmt: skip
    assert [call.name for call in answer.tool_calls] == ["get_weather"]
    assert 0 < len(thinker.tokenize(answer.reasoning)) <= 6


def test_budget_is_the_same_with_speculation() -> None:
    options: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 1, "chat_template": THINKING_TEMPLATE}
    with xlc.Engine("smollm2-135m-instruct", speculation=xlc.Ngram("simple", n_match=2), **options) as engine:
        for budget in (5, 11):
            # A cached prompt would be rounded in another way.
            asked = {**GREEDY, "thinking_budget": budget, "cache_prompt": False}
            drafted = engine.chat(TALE, **asked)
            plain = engine.chat(TALE, speculative=False, **asked)
            assert (drafted.reasoning, drafted.text) == (plain.reasoning, plain.text)
            assert len(engine.tokenize(drafted.reasoning)) == budget


@pytest.mark.parametrize("value", [-1, 1.5, "few"])
def test_wrong_budget_is_refused(thinker: xlc.Engine, value: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="thinking_budget"):
        thinker.chat(TALE, thinking_budget=value)


def test_switch_ends_the_thinking_of_a_blocking_call(thinker: xlc.Engine) -> None:
    options = {**GREEDY, "max_tokens": 200}
    free = thinker.chat(TALE, **options).usage.reasoning_tokens
    switch = xlc.ThinkingSwitch()
    thread = threading.Thread(target=lambda: wait_until(lambda: thinker.metrics().requests_running) and switch.stop())
    thread.start()
    answer = thinker.chat(TALE, thinking_switch=switch, **options)
    thread.join()
    assert switch.stopped
    assert answer.usage.reasoning_tokens < free
    assert answer.text


def test_switch_is_for_all_that_have_it_now_and_later(thinker: xlc.Engine) -> None:
    switch = xlc.ThinkingSwitch()
    options = {**GREEDY, "max_tokens": 200, "thinking_switch": switch}

    async def run() -> list[xlc.Completion]:
        async def stop() -> None:
            assert await await_until(lambda: thinker.metrics().requests_running == 2)
            switch.stop()

        first, second, _ = await asyncio.gather(
            thinker.achat(TALE, **options), thinker.achat(f"{TALE} Now.", **options), stop()
        )
        return [first, second]

    for answer in asyncio.run(run()):
        assert answer.usage.reasoning_tokens < 150
        assert answer.text
    later = thinker.chat(TALE, **options)
    assert len(thinker.tokenize(later.reasoning)) <= 1
    assert later.text


def test_switch_releases_ended_requests(thinker: xlc.Engine) -> None:
    switch = xlc.ThinkingSwitch()
    stream = thinker.stream_chat(TALE, thinking_switch=switch, **GREEDY)
    stream.result()
    pump = weakref.ref(stream._reader)
    del stream
    gc.collect()
    assert pump() is None
    switch.stop()
    switch.stop()
