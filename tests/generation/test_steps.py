"""Cancelling inside a step, and prompts that take turns. Steps and tokens are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.steps import PART, StepCounter, held_steps, small_parts, wait_held
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from helpers.waiting import WorkCounter, await_until, wait_until

MODELS = Path(__file__).parents[1] / "model_files"
START = "abcdefgh ijkl mnop " * 20
# Tokens of a batch that holds several requests then round as those of one.
EXACT: dict[str, Any] = {
    "n_threads": 1, "warmup": False, "cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off",
}  # fmt: skip
TEXT_ONLY: Any = dict.fromkeys(range(3, 259), False)  # no half characters
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, "logit_bias": TEXT_ONLY}
LONG = {**GREEDY, "max_tokens": 1500}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("steps") / "bytes.gguf", n_ctx=4096)


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[xlc.Engine]:
    with xlc.Engine(model, n_ctx=4096, n_parallel=3, **EXACT) as engine:
        yield engine


def texts_of_fresh_engine(model: Path, prompts: list[str], **options: Any) -> list[str]:
    with xlc.Engine(model, **{"n_ctx": 4096, "n_parallel": 1, **EXACT, **options}) as engine:
        return [engine.complete(prompt, cache_prompt=False, **GREEDY).text for prompt in prompts]


def start_held(engine: xlc.Engine, counter: StepCounter, prompt: str, **options: Any) -> Any:
    stream = engine.stream_complete(prompt, **{**GREEDY, **options})
    wait_held(counter)
    return stream


# Cancelling inside a step


def test_cancel_ends_running_step_and_cache_stays_right(engine: xlc.Engine, model: Path) -> None:
    prompts = [START + "one", START + "two", "one more " + START]
    expected = texts_of_fresh_engine(model, prompts)
    assert engine.complete(START, **GREEDY).text  # what the cancelled prompt shares with it stays
    with held_steps() as counter:
        start_held(engine, counter, START + "cancelled " * 20).close()
        assert wait_until(lambda: counter.n_given_up == 1)
        assert wait_until(lambda: engine.metrics().requests_running == 0), "the slot is not free while a step is held"
    assert counter.n_prompt_parts == 0
    answers = [engine.complete(prompt, **GREEDY) for prompt in prompts]
    assert [answer.text for answer in answers] == expected
    assert answers[0].usage.cached_tokens >= len(START) - 20


def test_timeout_ends_running_step(engine: xlc.Engine) -> None:
    with held_steps() as counter:
        with pytest.raises(xlc.RequestTimeoutError):
            engine.complete("the timeout passes " + START, timeout=0.05, **GREEDY)
        assert wait_until(lambda: engine.metrics().requests_running == 0)
    assert counter.n_given_up == 1


def test_close_ends_running_step(model: Path) -> None:
    engine = xlc.Engine(model, n_ctx=1024, n_parallel=2, **EXACT)
    with held_steps() as counter:
        stream = start_held(engine, counter, START)
        engine.close()
    assert counter.n_given_up == 1
    with pytest.raises(xlc.EngineClosedError):
        stream.result()


def test_step_goes_on_for_requests_beside_the_cancelled_one(engine: xlc.Engine, model: Path) -> None:
    beside, cancelled = START + "beside", "the cancelled one " + START
    (expected,) = texts_of_fresh_engine(model, [beside])
    with held_steps() as counter:
        first = start_held(engine, counter, "to be ended " + START)
        streams = [engine.stream_complete(prompt, **GREEDY) for prompt in (beside, cancelled)]
        first.close()
        wait_held(counter, 2)
        streams[1].close()
    assert streams[0].result().text == expected
    assert counter.n_given_up == 1
    assert engine.complete(beside, **GREEDY).text == expected


def test_many_cancels_do_not_stop_a_stream(engine: xlc.Engine, model: Path) -> None:
    prompt = START + "steady"
    (expected,) = texts_of_fresh_engine(model, [prompt])
    with small_parts() as counter, engine.stream_complete(prompt, **{**GREEDY, "max_tokens": 60}) as stream:
        for number in range(40):
            engine.stream_complete(f"{number} {START}", **GREEDY).close()
        assert stream.result().text.startswith(expected)
    assert counter.n_given_up <= 40


@pytest.mark.parametrize("name", ["recurrent", "hybrid", "multi-token"])
def test_state_that_cannot_be_cut_is_computed_again(name: str) -> None:
    path = MODELS / f"{name}.gguf"
    options = {**GREEDY, "logit_bias": None}
    prompts = ["The cache holds slots. " * 8 + end for end in ("One", "Two")]
    with xlc.Engine(path, n_ctx=1024, n_parallel=2, **EXACT) as engine:
        expected = [engine.complete(prompt, cache_prompt=False, **options).text for prompt in prompts]
        assert engine.complete(prompts[0], **options).text == expected[0]
        with held_steps() as counter:
            start_held(engine, counter, prompts[0] + " more" * 20, logit_bias=None).close()
            assert wait_until(lambda: engine.metrics().requests_running == 0)
        assert counter.n_given_up == 1
        for _ in range(2):
            assert [engine.complete(prompt, **options).text for prompt in prompts] == expected


@pytest.mark.parametrize(
    "speculation", [xlc.Ngram("simple", n_match=3), xlc.Eagle3(MODELS / "llama-eagle3.gguf")], ids=["ngram", "draft"]
)
def test_cancel_inside_a_step_with_speculation(speculation: Any) -> None:
    options = {**GREEDY, "max_tokens": 30, "logit_bias": None}
    prompt = "The cache holds slots. " * 10
    with xlc.Engine(MODELS / "llama.gguf", n_ctx=1024, n_parallel=2, speculation=(), **EXACT) as engine:
        expected = engine.complete(prompt, **options).text
    with xlc.Engine(MODELS / "llama.gguf", n_ctx=1024, n_parallel=2, speculation=speculation, **EXACT) as engine:
        for _ in range(2):
            with held_steps() as counter:
                start_held(engine, counter, prompt + "and so on " * 9, logit_bias=None).close()
                assert wait_until(lambda: engine.metrics().requests_running == 0)
            assert counter.n_given_up == 1
            assert engine.complete(prompt, **options).text == expected


def test_cancel_while_an_image_is_read(tmp_path: Path) -> None:
    write_mmproj(tmp_path / "mmproj-f16.gguf")
    base = write_byte_llama(tmp_path / "base.gguf")
    image = [xlc.TextPart(text="what is it?"), xlc.ImagePart(data=RED), xlc.TextPart(text="say")]
    messages = [xlc.Message(role="user", content=tuple(image))]
    with xlc.Engine(base, mmproj=tmp_path / "mmproj-f16.gguf", n_ctx=1024, n_parallel=2, **EXACT) as engine:
        expected = engine.chat(messages, cache_prompt=False, **GREEDY).text
        for n_before in range(1, 4):  # text, the encoder, the image's tokens
            engine.complete(f"other {n_before}", **GREEDY)
            with held_steps() as counter:
                stream = engine.stream_chat(messages, cache_prompt=False, **GREEDY)
                wait_held(counter)
                stream.close()
                assert wait_until(lambda: engine.metrics().requests_running == 0)
            assert counter.n_given_up == 1
            assert engine.chat(messages, **GREEDY).text == expected


def test_session_and_constraint_after_a_cancelled_step(engine: xlc.Engine, tmp_path: Path) -> None:
    choice = xlc.Choice("abc", "abd")
    prompt = START + "constrained"
    expected = engine.complete(prompt, constraint=choice, temperature=0).text
    with held_steps() as counter:
        start_held(engine, counter, prompt + " and cancelled" * 9).close()
        assert wait_until(lambda: engine.metrics().requests_running == 0)
    assert engine.complete(prompt, constraint=choice, temperature=0).text == expected
    engine.save_session(tmp_path / "session", prompt=prompt)
    with xlc.Engine(engine.info.path, n_ctx=4096, n_parallel=3, **EXACT) as other:
        other.load_session(tmp_path / "session")
        answer = other.complete(prompt, constraint=choice, temperature=0)
    assert answer.text == expected
    assert answer.usage.cached_tokens > len(START) - 20


# Prompts that take turns


async def record(events: list[str], name: str, stream: Any) -> str:
    """Read a stream and note each of its tokens; return its text."""
    pieces = []
    async for event in stream:
        if isinstance(event, xlc.TextDelta):
            events.append(name)
            pieces.append(event.text)
    return "".join(pieces)


def test_stream_gets_tokens_between_the_parts_of_a_long_prompt(engine: xlc.Engine, model: Path) -> None:
    prompts = ["the stream", "long: " + START * 2]
    expected = texts_of_fresh_engine(model, prompts)
    events: list[str] = []

    async def run() -> list[str]:
        stream = engine.astream_complete(prompts[0], **LONG)
        reading = asyncio.ensure_future(record(events, "stream", stream))
        await await_until(lambda: events)
        long = record(events, "long", engine.astream_complete(prompts[1], **GREEDY))
        text = await long
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return [text]

    with small_parts() as counter:
        (text,) = asyncio.run(run())
    n_parts = len(prompts[1]) // PART
    assert counter.n_prompt_parts >= n_parts
    assert events.index("long") > n_parts - 2
    assert text == expected[1]


def test_short_request_passes_a_long_prompt(engine: xlc.Engine, model: Path) -> None:
    prompts = ["the stream goes on", "very long: " + START * 6, "short"]
    expected = texts_of_fresh_engine(model, prompts)
    events: list[str] = []

    async def run(counter: StepCounter) -> list[str]:
        stream = asyncio.ensure_future(record(events, "stream", engine.astream_complete(prompts[0], **LONG)))
        await await_until(lambda: events)
        long = asyncio.ensure_future(record(events, "long", engine.astream_complete(prompts[1], **GREEDY)))
        await await_until(lambda: counter.n_prompt_parts >= 4)
        short = await record(events, "short", engine.astream_complete(prompts[2], **GREEDY))
        text = await long
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        return [text, short]

    with small_parts() as counter:
        texts = asyncio.run(run(counter))
    last_short = len(events) - events[::-1].index("short")
    assert last_short <= events.index("long")
    assert texts == expected[1:]


def test_new_request_ends_the_step_of_a_prompt_that_was_alone(engine: xlc.Engine, model: Path) -> None:
    prompts = ["alone: " + START * 2, "newcomer"]
    expected = texts_of_fresh_engine(model, prompts)
    with small_parts():
        work = WorkCounter(engine)
        with held_steps() as counter:
            long = start_held(engine, counter, prompts[0], cache_prompt=False)
            short = engine.stream_complete(prompts[1], cache_prompt=False, **GREEDY)
            assert wait_until(lambda: counter.n_for_newcomers == 1)
        answers = [long.result(), short.result()]
    assert [answer.text for answer in answers] == expected
    # The ended part is counted once, when it has been read.
    assert work.prompt_tokens() == sum(answer.usage.prompt_tokens for answer in answers)
    assert [answer.timings.prompt_tokens for answer in answers] == [answer.usage.prompt_tokens for answer in answers]


def test_two_long_prompts_share(engine: xlc.Engine) -> None:
    """With a stream beside them their parts alternate, so that the shorter one is read first though it came later."""
    events: list[str] = []

    async def run(counter: StepCounter) -> None:
        stream = asyncio.ensure_future(record(events, "stream", engine.astream_complete("a stream", **LONG)))
        await await_until(lambda: events)
        options = {**GREEDY, "cache_prompt": False}
        first = asyncio.ensure_future(record(events, "first", engine.astream_complete("first " + START * 4, **options)))
        await await_until(lambda: counter.n_prompt_parts >= 2)
        await record(events, "second", engine.astream_complete("second " + START, **options))
        await first
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)

    with small_parts() as counter:
        asyncio.run(run(counter))
    assert events.index("second") < events.index("first")


def test_prompt_alone_is_read_in_full_batches(engine: xlc.Engine) -> None:
    with small_parts() as counter:
        answer = engine.complete("quite alone " + START * 4, cache_prompt=False, **GREEDY)
    assert counter.n_prompt_parts == -(-answer.usage.prompt_tokens // 512)


def test_prompt_that_is_read_again_does_not_come_with_another(engine: xlc.Engine, model: Path) -> None:
    """A slot holds all of the prompt, but it wants no cache, so it is not a short one."""
    again = "again: " + START
    (expected,) = texts_of_fresh_engine(model, [again])
    engine.complete(again, **GREEDY)
    first = engine.stream_complete("writes while the others arrive", **LONG)
    next(iter(first))
    with small_parts(), held_steps() as counter:
        wait_held(counter)
        short = engine.stream_complete("its turn is first", cache_prompt=False, **GREEDY)
        long = engine.stream_complete(again, cache_prompt=False, **GREEDY)
        first.close()
        wait_held(counter, 2)
        short.close()
        assert wait_until(lambda: counter.n_given_up == 2), "the step reads the long prompt too"
    assert long.result().text == expected
