"""Engines that free their memory while nobody asks for anything."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.waiting import await_until, is_idle, wait_until

SHORT = 0.15
ONE: dict[str, Any] = {"max_tokens": 1, "temperature": 0}
SETTINGS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "n_threads": 1, "sleep_after": SHORT}


@pytest.fixture
def tiny_path(tmp_path: Path) -> Path:
    return write_byte_llama(tmp_path / "tiny.gguf")


@pytest.fixture
def sleeper(tiny_path: Path) -> Iterator[xlc.Engine]:
    """An engine that sleeps already."""
    with xlc.Engine(tiny_path, **SETTINGS) as engine:
        assert not engine.asleep
        assert wait_until(lambda: engine.asleep)
        yield engine


def test_idle_engine_takes_no_memory(sleeper: xlc.Engine) -> None:
    memory = sleeper.memory()
    assert (memory.asleep, memory.total, memory.prompt_cache) == (True, 0, 0)
    assert sleeper.metrics().generation_tokens == 0
    assert sleeper.asleep  # to be asked does not wake it
    assert "tiny" in repr(sleeper)


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.complete("the", **ONE).usage.completion_tokens == 1,
        lambda engine: engine.chat("the", **ONE).usage.completion_tokens == 1,
        lambda engine: isinstance(list(engine.stream_chat("the", **ONE))[-1], xlc.Finished),
        lambda engine: engine.embed(["the"]).shape == (1, 64),
        lambda engine: sum(1 for _ in engine.embed_stream(["the", "hat"])) == 2,
        lambda engine: engine.detokenize(engine.tokenize("the hat")) == "the hat",
        lambda engine: engine.count_tokens([{"role": "user", "content": "the"}]) > 3,
        lambda engine: engine.accepts(xlc.Choice("a", "b"), "a"),
    ],
)
def test_any_request_wakes_it(sleeper: xlc.Engine, call: Callable[[xlc.Engine], bool]) -> None:
    assert call(sleeper)
    assert not sleeper.asleep
    assert wait_until(lambda: sleeper.asleep)
    assert call(sleeper)


def test_any_async_request_wakes_it(tiny_path: Path) -> None:
    async def run() -> None:
        with xlc.Engine(tiny_path, **SETTINGS) as engine:

            async def sleep() -> None:
                assert await await_until(lambda: engine.asleep)

            await sleep()
            assert (await engine.achat("the", **ONE)).usage.completion_tokens == 1
            await sleep()
            assert (await engine.acomplete("the", constraint=xlc.Choice("a", "b"))).text in {"a", "b"}
            await sleep()
            assert len([event async for event in engine.astream_chat("the", max_tokens=4, ignore_eos=True)]) > 1
            await sleep()
            assert (await engine.aembed(["the"])).shape == (1, 64)
            await sleep()
            assert len([row async for row in engine.aembed_stream(["the", "hat"])]) == 2
            await sleep()
            assert (await engine.amemory()).asleep

    asyncio.run(run())


def test_waking_does_not_hold_up_the_event_loop() -> None:
    async def run() -> None:
        with xlc.Engine("smollm2-135m-instruct", n_ctx=512, n_parallel=1, sleep_after=SHORT) as engine:
            assert await await_until(lambda: engine.asleep)
            ticks = 0
            answer = asyncio.ensure_future(engine.achat("Hi", **ONE))
            while engine.asleep and not answer.done():
                await asyncio.sleep(0.005)
                ticks += 1
            assert (await answer).usage.completion_tokens == 1
            assert ticks > 3

    asyncio.run(run())


def test_long_request_keeps_it_awake(tiny_path: Path) -> None:
    # Far more tokens than the model generates in a hundredth of a second.
    with xlc.Engine(tiny_path, **{**SETTINGS, "sleep_after": 0.01, "on_overflow": "shift"}) as engine:
        with engine.stream_complete("a", max_tokens=3000, ignore_eos=True) as stream:
            for event in stream:
                assert not engine.asleep or is_idle(engine)
                last = event
        assert isinstance(last, xlc.Finished)
        assert last.completion.usage.completion_tokens == 3000
        assert wait_until(lambda: engine.asleep)


def test_counters_go_on_where_they_were(sleeper: xlc.Engine) -> None:
    sleeper.complete("the", max_tokens=3, ignore_eos=True)
    assert wait_until(lambda: sleeper.asleep)
    assert sleeper.metrics().generation_tokens == 3
    sleeper.complete("the", max_tokens=4, ignore_eos=True)
    assert sleeper.metrics().generation_tokens == 7
    assert wait_until(lambda: sleeper.asleep)
    assert sleeper.metrics().generation_tokens == 7


def test_reload_that_fails_is_an_error_and_a_later_request_may_try_again(sleeper: xlc.Engine, tiny_path: Path) -> None:
    away = tiny_path.rename(tiny_path.with_suffix(".away"))
    for call in (lambda: sleeper.complete("the"), lambda: sleeper.embed(["the"]), lambda: sleeper.tokenize("the")):
        with pytest.raises(xlc.ModelNotFoundError, match="there is no model file"):
            call()
    assert sleeper.asleep
    content = away.read_bytes()
    tiny_path.write_bytes(content[:5000])
    with pytest.raises(xlc.ModelLoadError):
        sleeper.complete("the")
    away.rename(tiny_path)
    assert sleeper.complete("the", **ONE).usage.completion_tokens == 1


def test_another_file_in_its_place_is_not_taken_for_the_model(sleeper: xlc.Engine, tiny_path: Path) -> None:
    tiny_path.write_bytes(tiny_path.read_bytes() + b"\0" * 64)
    with pytest.raises(xlc.ModelLoadError, match="was changed while the engine slept"):
        sleeper.complete("the")


def test_session_can_be_loaded_into_it(sleeper: xlc.Engine, tmp_path: Path) -> None:
    saved = sleeper.save_session(tmp_path / "s", prompt="the hat of a llama")
    assert wait_until(lambda: sleeper.asleep)
    assert sleeper.load_session(tmp_path / "s").n_tokens == saved.n_tokens
    assert sleeper.complete("the hat of a llama", **ONE).usage.cached_tokens == saved.n_tokens - 1


def test_closing_ends_its_sleep(sleeper: xlc.Engine) -> None:
    sleeper.close()
    sleeper.close()
    assert not sleeper.asleep
    with pytest.raises(xlc.EngineClosedError):
        sleeper.complete("the")


def test_requests_at_the_moment_it_falls_asleep_are_answered(tiny_path: Path) -> None:
    failures: list[BaseException] = []
    slept = 0

    def ask(engine: xlc.Engine, seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(25):
                assert engine.complete("the", **ONE).usage.completion_tokens == 1
                assert engine.embed(["the"]).shape == (1, 64)
                time.sleep(chance.uniform(0.0, 0.05))
        except BaseException as error:
            failures.append(error)

    with xlc.Engine(tiny_path, **{**SETTINGS, "sleep_after": 0.01, "warmup": False}) as engine:
        threads = [threading.Thread(target=ask, args=(engine, seed)) for seed in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            slept += engine.asleep
            time.sleep(0.002)
    assert failures == []
    assert slept > 0


@pytest.mark.parametrize("model", ["all-minilm-l6-v2", "xllama-rerank-mini"])
def test_encoders_sleep_too(model: str) -> None:
    with xlc.Engine(model, sleep_after=SHORT, n_threads=1) as engine:
        assert wait_until(lambda: engine.asleep)
        if engine.info.can_rerank:
            assert len(engine.rerank("a llama", ["an alpaca", "a stock"])) == 2
        else:
            assert engine.embed(["a llama"]).shape == (1, 384)
        assert wait_until(lambda: engine.asleep)


@pytest.mark.parametrize("end", ["", "del engine", "engine.close()"])
def test_process_ends_with_an_engine_that_sleeps_or_might(tiny_path: Path, end: str) -> None:
    code = f"""
import time
import xlc_core as xlc
engine = xlc.Engine({str(tiny_path)!r}, n_ctx=512, n_threads=1, sleep_after=0.05)
other = xlc.Engine({str(tiny_path)!r}, n_ctx=512, n_threads=1, sleep_after=60)
while not engine.asleep:
    time.sleep(0.01)
{end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.no_sanitizer("it keeps memory that is freed")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_process_shrinks() -> None:
    code = """
import time
import xlc_core as xlc
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
xlc.Engine  # loads the libraries
before = resident()
with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=2, use_mmap=False, sleep_after=0.3) as engine:
    engine.chat("Hi", max_tokens=1)
    awake = resident()
    while not engine.asleep:
        time.sleep(0.05)
    assert engine.memory().asleep  # and all is given back
    asleep = resident()
print(before, awake, asleep)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    before, awake, asleep = (int(number) for number in done.stdout.split())
    assert awake > before + 180  # 143 MB of weights, 47 MB of cache
    assert asleep < before + 40


@pytest.mark.parametrize("value", [0, -1, float("inf"), "soon"])
def test_wrong_time_is_refused(value: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="sleep_after"):
        xlc.EngineOptions.checked(model="m", sleep_after=value)
