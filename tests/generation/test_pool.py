"""One pool of context: requests that do not fit together pause and go on with the texts that they have alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import BLUE, RED, write_mmproj
from helpers.tiny_models import random_pairs, write_byte_llama, write_lora
from helpers.waiting import WorkCounter, is_idle, wait_until

MODELS = Path(__file__).parents[1] / "model_files"
LLAMA = MODELS / "llama.gguf"
# Sums then round alike wherever a request's cells lie.
EXACT: dict[str, Any] = {
    "n_threads": 1, "warmup": False, "cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off",
}  # fmt: skip
POOL: dict[str, Any] = {**EXACT, "n_ctx": 768, "n_ctx_total": 768, "n_parallel": 6, "kv_unified": True}
ALONE: dict[str, Any] = {**EXACT, "n_ctx": 768, "n_parallel": 1, "cache_ram_mib": 0}
LONG: dict[str, Any] = {"max_tokens": 500, "ignore_eos": True, "temperature": 0}
SHORT: dict[str, Any] = {**LONG, "max_tokens": 20}

Submit = Callable[[xlc.Engine], xlc.EventStream]


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("pool") / "long.gguf", n_ctx=4096)


def completion(prompt: str, **options: Any) -> Submit:
    return lambda engine: engine.stream_complete(prompt, **{**LONG, **options})


def answers(engine: xlc.Engine, requests: Sequence[Submit], *, together: bool = True) -> list[xlc.Completion]:
    if not together:
        return [request(engine).result() for request in requests]
    streams = [request(engine) for request in requests]
    return [stream.result() for stream in streams]


def texts(completions: Sequence[xlc.Completion]) -> list[list[str]]:
    return [[choice.text for choice in completion.choices] for completion in completions]


def assert_same_as_alone(
    requests: Sequence[Submit], model: Path = LLAMA, *, n_pauses: int = 1, **options: Any
) -> tuple[list[xlc.Completion], list[xlc.Completion]]:
    """Return the answers of the requests beside each other in a pool, and alone."""
    alone_options = {**ALONE, **options, "n_parallel": options.get("n_parallel", 1), "n_ctx_total": None}
    with xlc.Engine(model, **alone_options) as engine:
        alone = answers(engine, requests, together=False)
    with xlc.Engine(model, **{**POOL, **options}) as engine:
        beside = answers(engine, requests)
        metrics = engine.metrics()
    assert metrics.pauses >= n_pauses
    assert metrics.requests_paused == 0
    assert texts(beside) == texts(alone)
    assert [answer.usage.completion_tokens for answer in beside] == [answer.usage.completion_tokens for answer in alone]
    return beside, alone


def prompts(n: int) -> list[str]:
    return [f"{i} {'abcdefghij'[i % 10] * (3 + i % 7)}" for i in range(n)]


@pytest.mark.parametrize("cache_ram_mib", [1024, 0], ids=["saved", "computed-again"])
def test_long_requests_and_many_short_ones_share_pool(cache_ram_mib: int) -> None:
    long_ones = [completion(prompt) for prompt in prompts(4)]
    short_ones = [completion(f"short {prompt}", **SHORT) for prompt in prompts(40)]
    assert_same_as_alone([*long_ones, *short_ones], n_pauses=3, cache_ram_mib=cache_ram_mib)


# Their layers with a state have it for each slot; the others share cells, if there are any.
@pytest.mark.parametrize("name", ["recurrent", "hybrid", "multi-token-hybrid"])
@pytest.mark.parametrize("cache_ram_mib", [1024, 0], ids=["saved", "computed-again"])
def test_models_with_states_may_have_a_pool(name: str, cache_ram_mib: int) -> None:
    long_ones = [completion(prompt, max_tokens=300) for prompt in prompts(4)]
    short_ones = [completion(f"short {prompt}", **SHORT) for prompt in prompts(8)]
    model = MODELS / f"{name}.gguf"
    assert_same_as_alone([*long_ones, *short_ones], model, cache_ram_mib=cache_ram_mib, n_ctx=512, n_ctx_total=512)


@pytest.mark.parametrize("name", ["recurrent", "hybrid"])
def test_prefixes_of_models_with_states_are_not_mixed(name: str) -> None:
    requests = [completion(f"{'word ' * 40}{tail}", max_tokens=30) for tail in "abcdef"]
    model = MODELS / f"{name}.gguf"
    assert_same_as_alone(requests, model, n_pauses=0, n_ctx=512, n_ctx_total=4096)


def test_sampler_and_grammar_go_on_where_they_were() -> None:
    word = xlc.Regex("([a-z]{3,9} ){60}[a-z]+")
    assert_same_as_alone([
        completion("sampled", temperature=0.9, seed=3, repeat_penalty=1.3),
        completion("in words", constraint=word, ignore_eos=False),
        completion("sampled words", constraint=word, ignore_eos=False, temperature=1.1, seed=4),
        completion("until", stop=["qqzz"], temperature=1.2, seed=5, ignore_eos=False),
    ])  # fmt: skip


def test_logprobs_of_paused_request_are_complete() -> None:
    requests = [completion(prompt, logprobs=2, max_tokens=300) for prompt in prompts(5)]
    for beside, alone in zip(*assert_same_as_alone(requests), strict=True):
        assert len(beside.logprobs) == 300
        for token, same in zip(beside.logprobs, alone.logprobs, strict=True):
            assert (token.id, token.bytes) == (same.id, same.bytes)
            assert token.logprob == pytest.approx(same.logprob, abs=1e-4)


def test_several_answers_pause_each() -> None:
    requests = [completion(prompt, n=3, temperature=0.9, seed=7, max_tokens=350) for prompt in prompts(2)]
    assert_same_as_alone(requests, n_parallel=6)


@pytest.mark.parametrize(
    ("model", "speculation"),
    [
        (LLAMA, xlc.Ngram()),
        (LLAMA, xlc.Eagle3(MODELS / "llama-eagle3.gguf")),
        (MODELS / "multi-token.gguf", xlc.Mtp()),
    ],
    ids=["ngram", "eagle3", "mtp"],
)
@pytest.mark.parametrize("cache_ram_mib", [1024, 0], ids=["saved", "computed-again"])
def test_drafts_go_on(model: Path, speculation: xlc.Speculation, cache_ram_mib: int) -> None:
    requests = [completion(prompt * 9, max_tokens=400) for prompt in prompts(4)]
    assert_same_as_alone(requests, model, speculation=speculation, cache_ram_mib=cache_ram_mib)


def test_adapters_stay(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "base.gguf")
    adapter = write_lora(tmp_path / "style.gguf", random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight"))
    requests = [completion(prompt, lora={"style": i % 2}) for i, prompt in enumerate(prompts(4))]
    assert_same_as_alone(requests, model, lora=adapter)


@pytest.mark.parametrize("cache_ram_mib", [1024, 0], ids=["saved", "no-cache"])
def test_images_stay(tmp_path: Path, cache_ram_mib: int) -> None:
    model = write_byte_llama(tmp_path / "base.gguf")
    write_mmproj(tmp_path / "mmproj.gguf")

    def seen(image: bytes) -> Submit:
        content = [xlc.ImagePart(data=image), xlc.TextPart(text="What is it?")]
        message = xlc.Message(role="user", content=content)
        return lambda engine: engine.stream_chat([message], **{**LONG, "max_tokens": 400})

    requests = [seen(image) for image in (RED, BLUE, RED, BLUE)]
    assert_same_as_alone(requests, model, mmproj=tmp_path / "mmproj.gguf", cache_ram_mib=cache_ram_mib)


def test_sliding_window_goes_on() -> None:
    requests = [completion(prompt, max_tokens=300) for prompt in prompts(4)]
    assert_same_as_alone(requests, MODELS / "gemma3-vision.gguf", n_ctx=512, n_ctx_total=512)


def test_step_that_does_not_fit_is_taken_back() -> None:
    """Answers share the cells of a prompt that has left their window, and llama.cpp then has too few for the window."""
    options = {"n_ctx": 512, "n_ctx_total": 512, "n_batch": 8, "n_ubatch": 8, "n_parallel": 4}
    options["llama_args"] = ("--override-kv", "gemma3.attention.sliding_window=int:62")  # 4 × 62 + 8 cells
    sampled = completion("word " * 30, n=4, temperature=2.0, seed=3, max_tokens=80)
    single = completion("word " * 30, max_tokens=80)
    assert_same_as_alone([sampled], MODELS / "gemma3-vision.gguf", **options)
    assert_same_as_alone([single], MODELS / "gemma3-vision.gguf", n_pauses=0, **options)


def test_shifted_context_goes_on() -> None:
    options = {"on_overflow": "shift", "n_ctx": 512, "n_ctx_total": 768, "cache_ram_mib": 0}
    assert_same_as_alone([completion(prompt, max_tokens=900) for prompt in prompts(3)], **options)


def test_long_prompts_wait_until_they_fit() -> None:
    requests = [completion(f"{i} " + "word " * 150, max_tokens=40) for i in range(6)]
    assert_same_as_alone(requests, n_pauses=0)


def test_requests_end_in_order_of_arrival() -> None:
    with xlc.Engine(LLAMA, **POOL) as engine:
        ended: list[int] = []

        async def ask(number: int, prompt: str) -> None:
            await engine.acomplete(prompt, **LONG)
            ended.append(number)

        async def read_all() -> None:
            await asyncio.gather(*(ask(number, prompt) for number, prompt in enumerate(prompts(4))))

        asyncio.run(read_all())
        assert engine.metrics().pauses > 0
    assert ended == [0, 1, 2, 3]


def open_paused(model: Path) -> tuple[xlc.Engine, list[xlc.EventStream]]:
    """Return an engine and three streams, of which the last is paused for thousands of steps."""
    engine = xlc.Engine(model, **{**POOL, "n_ctx": 4096, "n_ctx_total": 4096})
    streams = [engine.stream_complete(prompt, **{**LONG, "max_tokens": 3000}) for prompt in prompts(3)]
    assert wait_until(lambda: engine.metrics().requests_paused > 0)
    return engine, streams


def test_state_of_paused_request_is_counted(slow_model: Path) -> None:
    engine, streams = open_paused(slow_model)
    with engine:
        # Two layers of 64 keys and values, four bytes each, for each token of the prompt at least.
        assert engine.memory().paused >= len(prompts(3)[2]) * 2 * 64 * 2 * 4
        for stream in streams:
            stream.cancel()
        assert wait_until(lambda: is_idle(engine))
        assert engine.memory().paused == 0


def test_paused_request_is_cancelled_and_its_slot_used_again(slow_model: Path) -> None:
    engine, streams = open_paused(slow_model)
    with engine:
        streams[2].cancel()
        assert wait_until(lambda: engine.metrics().requests_paused == 0)
        assert engine.metrics().requests_running == 2
        text = streams[2].result().text
        for stream in streams[:2]:
            stream.cancel()
        again = engine.complete(prompts(3)[2], **{**LONG, "max_tokens": 1500})
        assert text
        assert again.text.startswith(text)
        assert wait_until(lambda: is_idle(engine))


def test_close_ends_paused_request(slow_model: Path) -> None:
    engine, streams = open_paused(slow_model)
    engine.close()
    assert [stream.result().finish_reason for stream in streams] == ["cancelled"] * 3


def test_timeout_ends_paused_request(slow_model: Path) -> None:
    engine, streams = open_paused(slow_model)
    with engine:
        late = engine.stream_complete("late", timeout=0.05, **LONG)  # waits behind the paused one
        with pytest.raises(xlc.RequestTimeoutError):
            late.result()
        for stream in streams:
            stream.cancel()
        assert wait_until(lambda: is_idle(engine))


def test_session_is_saved_and_loaded_while_requests_pause(slow_model: Path, tmp_path: Path) -> None:
    prompt = "a session of its own"
    engine, streams = open_paused(slow_model)
    with engine:
        engine.load_session(save_prompt(slow_model, prompt, tmp_path / "kept.session"))
        assert engine.metrics().requests_paused == 1
        streams[1].cancel()
        streams[0].cancel()
        after = engine.complete(prompt, **SHORT)
        assert after.usage.cached_tokens == after.usage.prompt_tokens - 1
        assert streams[2].result().usage.completion_tokens == 3000


def save_prompt(model: Path, prompt: str, path: Path) -> Path:
    with xlc.Engine(model, **{**POOL, "n_ctx": 4096, "n_ctx_total": 4096}) as engine:
        engine.save_session(path, prompt=prompt)
    return path


def test_conversations_of_idle_slots_give_way_first() -> None:
    with xlc.Engine(LLAMA, **POOL) as engine:
        for i in range(5):
            engine.complete(f"{i} " + "old " * 60, **SHORT)
        engine.complete("new", **{**LONG, "max_tokens": 700})
        assert engine.metrics().pauses == 0


def shared_prefix(engine: xlc.Engine, *, n_words: int) -> tuple[list[Submit], int]:
    """Return requests whose prompts have a start in common, and its number of tokens."""
    start = "word " * n_words
    return [completion(f"{start}{tail}", max_tokens=40) for tail in "bcdefghijkmnopqr"], len(engine.tokenize(start))


def test_16_requests_with_one_prefix_take_the_memory_of_one(slow_model: Path) -> None:
    """Sixteen times 1500 tokens would fill the pool five times."""
    with xlc.Engine(slow_model, **{**ALONE, "n_ctx": 4096}) as engine:
        requests, n_prefix = shared_prefix(engine, n_words=300)
        alone = answers(engine, requests, together=False)
    assert n_prefix > 1500
    options = {"n_ctx": 4096, "n_ctx_total": 4096, "n_parallel": 16}
    with xlc.Engine(slow_model, **{**POOL, **options}) as engine:
        counter = WorkCounter(engine)
        beside = answers(engine, requests)
        assert counter.prompt_tokens() < n_prefix + 16 * 70
        assert engine.metrics().pauses == 0
        assert engine.memory().prompt_cache == 0
    assert texts(beside) == texts(alone)
    assert [answer.usage.cached_tokens >= n_prefix - 1 for answer in beside] == [False, *[True] * 15]


def test_prefix_of_running_request_is_not_computed_or_stored_again(slow_model: Path) -> None:
    start = "word " * 300
    with xlc.Engine(slow_model, **{**POOL, "n_ctx": 4096, "n_ctx_total": 4096}) as engine:
        with engine.stream_complete(f"{start}first", **{**LONG, "max_tokens": 2000}) as running:
            next(iter(running))
            others = answers(engine, [completion(f"{start}{tail}", max_tokens=20) for tail in "abcdefgh"])
            assert engine.metrics().pauses == 0
        assert all(answer.usage.cached_tokens >= 1500 for answer in others)


def test_prefix_is_shared_only_with_the_same_adapters(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "base.gguf")
    adapter = write_lora(tmp_path / "style.gguf", random_pairs("blk.0.attn_q.weight", "blk.1.attn_output.weight"))
    start = "word " * 30
    requests = [completion(f"{start}{i}", max_tokens=60, lora={"style": i % 2}) for i in range(6)]
    beside, _ = assert_same_as_alone(requests, model, n_pauses=0, lora=adapter)
    assert sum(answer.usage.cached_tokens >= 150 for answer in beside) == 4


@pytest.mark.parametrize("model", [LLAMA, MODELS / "gemma3-vision.gguf"], ids=["attention", "sliding-window"])
def test_shared_prefix_gives_the_same_texts(model: Path) -> None:
    requests = [completion(f"{'word ' * 40}{tail}", max_tokens=60) for tail in "abcdefgh"]
    beside, _ = assert_same_as_alone(requests, model, n_pauses=0, n_ctx=512, n_ctx_total=1024)
    assert sum(answer.usage.cached_tokens > 60 for answer in beside) == 7


def test_shared_prefix_outlives_its_first_reader(slow_model: Path) -> None:
    with xlc.Engine(slow_model, **{**ALONE, "n_ctx": 4096}) as engine:
        requests, _ = shared_prefix(engine, n_words=300)
        alone = answers(engine, requests[:3], together=False)
    with xlc.Engine(slow_model, **{**POOL, "n_ctx": 4096, "n_ctx_total": 4096}) as engine:
        first = engine.stream_complete("word " * 300 + "a", **{**LONG, "max_tokens": 2000})
        next(iter(first))
        streams = [request(engine) for request in requests[:3]]
        first.cancel()
        assert texts([stream.result() for stream in streams]) == texts(alone)
