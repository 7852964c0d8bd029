"""Long prompts: refused by their length before they are tokenised, and given up while they are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.generation import off_loop

# llama.cpp takes minutes for so many control tokens, as the time grows with the square of their number.
SLOW = "<|im_start|>" * 105_000


@pytest.fixture(scope="module")
def engine() -> Iterator[xlc.Engine]:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=8192, n_parallel=1, n_threads=1, warmup=False) as engine:
        yield engine


def test_prompt_that_cannot_fit_is_refused_by_its_length(engine: xlc.Engine) -> None:
    text = "word " * 2_000_000
    for ask in (engine.complete, engine.chat):
        with pytest.raises(xlc.ContextOverflowError, match=r"\d+ bytes, which are \d+ tokens or more") as caught:
            ask(text, max_tokens=1)
        assert caught.value.n_ctx == engine.info.n_ctx
        assert caught.value.n_ctx <= caught.value.n_prompt_tokens <= 2_000_001


def test_bound_refuses_no_prompt_that_fits(engine: xlc.Engine) -> None:
    """The least tokens for most bytes: the longest token, repeated until the context is full."""
    n_tokens = engine.info.n_ctx - 64
    tokens = {token: engine._native.detokenize([token], False) for token in range(engine.info.n_vocab)}
    token = max(tokens, key=lambda number: len(tokens[number]))
    text = tokens[token].decode() * n_tokens
    assert len(text) > 64 * engine.info.n_ctx
    n_prompt = engine.count_tokens(text)
    assert n_prompt <= engine.info.n_ctx
    assert engine.complete(text[: len(tokens[token]) * 64], max_tokens=1).usage.completion_tokens == 1
    engine._native.task_settings(engine._requests.completion(text, xlc.CompletionOptions()).native)  # prepares it


def test_prompt_under_the_bound_is_counted(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.ContextOverflowError, match=r"the prompt has \d+ tokens") as caught:
        engine.complete("a b c d " * 4000, max_tokens=1)
    assert caught.value.n_prompt_tokens == engine.count_tokens("a b c d " * 4000)


def test_timeout_ends_the_reading(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.RequestTimeoutError):
        engine.complete(SLOW, max_tokens=1, timeout=0.3)
    assert engine.complete("Hi", max_tokens=1).usage.completion_tokens == 1


async def test_cancelled_task_ends_the_reading(engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    errors: list[Any] = []

    def discard(submitted: asyncio.Future[Any]) -> None:
        errors.append(submitted.exception())
        ended.set()

    monkeypatch.setattr(off_loop, "_discard", discard)
    task = asyncio.create_task(engine.acomplete(SLOW, max_tokens=1))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 60)
    assert isinstance(errors[0], xlc.RequestCancelledError)  # and not the error of a prompt that was read to its end
    assert (await engine.acomplete("Hi", max_tokens=1)).usage.completion_tokens == 1


@pytest.mark.parametrize("name", ["complete", "tokenize"])
def test_closed_engine_ends_the_reading(name: str) -> None:
    errors: list[BaseException] = []
    with xlc.Engine("smollm2-135m-instruct", n_ctx=8192, n_parallel=1, n_threads=1, warmup=False) as engine:
        options: Any = {"max_tokens": 1} if name == "complete" else {"parse_special": True}

        def call() -> None:
            try:
                getattr(engine, name)(SLOW, **options)
            except xlc.XllamaError as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(0.3)
        engine.close()
        thread.join()
    assert [type(error) for error in errors] == [xlc.EngineClosedError]


async def test_closed_stream_ends_the_reading(engine: xlc.Engine) -> None:
    stream = engine.astream_complete(SLOW, max_tokens=1)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.3)
    await stream.aclose()
    with pytest.raises(xlc.RequestCancelledError):
        await waiting


def test_state_of_a_decision_that_cannot_fit_is_refused_by_its_length(tmp_path: Path) -> None:
    question = {"type": "noul", "instructions": "Is it?"}
    path = write_byte_llama(tmp_path / "decider.gguf", systemone="{{ state }} {{ instructions }}")
    with xlc.Engine(path, n_ctx=512, n_parallel=1, n_threads=1, warmup=False) as engine:
        for state in ("a" * 100_000, {"text": "a" * 100_000}):
            with pytest.raises(xlc.ContextOverflowError, match=r"\d+ bytes, which are \d+ tokens or more"):
                engine.decide(state, {"q": question})


@pytest.mark.parametrize(
    "call",
    [
        "engine.complete(slow, max_tokens=1)",
        "engine.chat(slow, max_tokens=1)",
        "engine.tokenize(slow, parse_special=True)",
    ],
)
def test_ctrl_c_ends_the_reading(call: str, tmp_path: Path) -> None:
    """After it, close() waits for the work that was given up: the test would take minutes if it went on."""
    code = (
        "import _thread, signal, sys, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "import xlc_core as xlc\n"
        "slow = sys.stdin.read()\n"
        "with xlc.Engine('smollm2-135m-instruct', n_ctx=8192, n_parallel=1, n_threads=1, warmup=False) as engine:\n"
        "    threading.Timer(0.5, _thread.interrupt_main).start()\n"
        "    try:\n"
        f"        {call}\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
        "    print(engine.complete('Hi', max_tokens=1).usage.completion_tokens)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=SLOW, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["interrupted", "1"], done.stderr


LONG = "x" * 3000


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": LONG},
        {"role": "user", "content": [{"type": "text", "text": LONG}]},
        {"role": "assistant", "content": "a", "reasoning_content": LONG},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": LONG}}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"x": LONG}}}]},
        xlc.Message(role="assistant", reasoning=LONG),
        xlc.Message(role="assistant", tool_calls=(xlc.ToolCall(name="f", arguments=LONG),)),
    ],
    ids=lambda message: str(sorted(message) if isinstance(message, dict) else message)[:60],
)
def test_all_texts_of_a_message_count_as_long(message: Any) -> None:
    """A long one is rendered off the event loop."""
    assert off_loop.is_long([message])
    short = [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]
    assert not off_loop.is_long(short)
