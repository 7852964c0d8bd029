"""One builder makes every request: frozen, rendered once, compiled once, and off the event loop when it is slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import xlc_core as xlc
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.tiny_models import write_byte_llama
from xlc_core import _native
from xlc_core.constraints import checking
from xlc_core.generation import request as builder
from xlc_core.generation.conversion import to_tools
from xlc_core.generation.message_reading import to_messages

TOOLS = [xlc.Tool(name="get_time", description="The time"), xlc.Tool(name="get_date", description="The date")]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    path = write_byte_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    options: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 1, "warmup": False, "n_threads": 1}
    with xlc.Engine(path, chat_template=THINKING_TEMPLATE, **options) as engine:
        yield engine


Calls = list[tuple[str, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Names and threads of the calls of the native engine that may take long."""
    seen: Calls = []

    def watch(name: str) -> None:
        real: Callable[..., Any] = getattr(_native.Engine, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append((name, threading.get_ident()))
            return real(*args, **kwargs)

        monkeypatch.setattr(_native.Engine, name, call)

    for name in ("render", "submit", "tokenize", "prompt_tokens", "count_tokens", "count_prompt_tokens"):
        watch(name)
    return seen


def names_of(calls: Calls) -> list[str]:
    return [name for name, _ in calls]


LATE_SYSTEM = [
    {"role": "user", "content": "Hi"},
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why?"},
]


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        ("Hi", {}),
        ("Hi", {"constraint": Person}),
        ("Hi", {"tools": TOOLS}),
        ("Hi", {"tools": TOOLS, "constraint": Person}),
        (LATE_SYSTEM, {}),
    ],
)
def test_chat_renders_template_once(thinker: xlc.Engine, calls: Calls, messages: Any, options: Any) -> None:
    thinker.chat(messages, max_tokens=1, **options)
    assert names_of(calls) == ["render", "submit"]


def test_count_tokens_renders_template_once(thinker: xlc.Engine, calls: Calls) -> None:
    n_tokens = thinker.count_tokens(LATE_SYSTEM)  # type: ignore[arg-type]
    assert names_of(calls) == ["render", "count_prompt_tokens"]
    assert n_tokens == thinker.chat(LATE_SYSTEM, max_tokens=1).usage.prompt_tokens  # type: ignore[arg-type]


def test_chat_converts_messages_and_tools_once(thinker: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(builder, "to_messages", lambda value, **_: seen.append("messages") or to_messages(value))
    monkeypatch.setattr(builder, "to_tools", lambda value: seen.append("tools") or to_tools(value))
    thinker.chat("Hi", tools=TOOLS, constraint=Person, max_tokens=1)
    assert sorted(seen) == ["messages", "tools"]


# Frozen


def test_native_requests_are_read_only() -> None:
    message = _native.ChatMessage(role="user", content="Hi")
    chat = _native.ChatRequest(messages=[message])
    sampling = _native.SamplingParams(temperature=0.5, max_tokens=3)
    request = _native.GenerationRequest(sampling=sampling, prompt="Hi", grammar="g")
    for thing in (message, chat, sampling, request):
        fields = [name for name in dir(type(thing)) if not name.startswith("_")]
        assert fields
        for name in fields:
            with pytest.raises(AttributeError):
                setattr(thing, name, getattr(thing, name))
    chat.messages.append(message)  # a copy
    assert len(chat.messages) == 1
    assert (request.sampling.temperature, request.sampling.max_tokens, request.sampling.top_k) == (0.5, 3, None)
    assert (request.prompt, request.grammar, request.stream, request.chat) == ("Hi", "g", False, None)


def test_unknown_sampling_field_raises() -> None:
    with pytest.raises(TypeError, match="has no field 'temprature'"):
        _native.SamplingParams(temprature=1)


# Compiled once


def test_constraint_compiles_once(engine: xlc.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Place(BaseModel):
        town: str

    checks = []
    native = checking.native_module()
    real = native.check_constraint
    monkeypatch.setattr(native, "check_constraint", lambda *args: checks.append(args) or real(*args))
    before = engine._native.n_compiled_grammars()
    for _ in range(3):
        engine.chat("Hi", constraint=Place, max_tokens=2)
        engine.chat("Hi", constraint=Place.model_json_schema(), max_tokens=2)
    assert len(checks) == 2  # a type's schema is closed, a dict's is not
    assert engine._native.n_compiled_grammars() == before + 2


def test_cloned_grammar_constrains_answer(engine: xlc.Engine) -> None:
    constraint = xlc.Choice("alpha", "beta")
    for close in (True, False, True):
        answer = engine.chat("Hi", constraint=constraint, max_tokens=8, close_constraint=close)
        assert answer.parsed in ("alpha", "beta")


# Off the event loop


async def test_short_chat_stays_on_event_loop(engine: xlc.Engine, calls: Calls) -> None:
    await engine.achat("Hi", max_tokens=1)
    assert {thread for _, thread in calls} == {threading.get_ident()}


@pytest.mark.parametrize(
    ("method", "prompt", "options"),
    [
        ("achat", "word " * 600, {}),
        ("achat", [{"role": "user", "content": "Hi"}] * 20, {}),
        ("achat", "Hi", {"tools": TOOLS}),
        ("achat", "Hi", {"constraint": xlc.Regex("never (seen|read) before")}),
        ("achat", "Hi", {"constraint": {"type": "object", "title": "written as a dict"}}),
        ("acomplete", "word " * 600, {}),
        ("acomplete", "Hi", {"constraint": xlc.Regex("nor (seen|read) yet")}),
    ],
)
async def test_long_work_leaves_event_loop(
    engine: xlc.Engine, calls: Calls, method: str, prompt: Any, options: Any
) -> None:
    await getattr(engine, method)(prompt, max_tokens=1, **options)
    assert "submit" in names_of(calls)
    assert threading.get_ident() not in {thread for _, thread in calls}


async def test_compiled_constraint_stays_on_event_loop(engine: xlc.Engine, calls: Calls) -> None:
    constraint = xlc.Regex("seen once (or|and) then again")
    await engine.achat("Hi", constraint=constraint, max_tokens=1)
    calls.clear()
    await engine.achat("Hi", constraint=constraint, max_tokens=1)
    assert {thread for _, thread in calls} == {threading.get_ident()}


async def test_save_session_leaves_event_loop(thinker: xlc.Engine, calls: Calls, tmp_path: Any) -> None:
    await thinker.asave_session(tmp_path / "a.session", "Hi", thinking=False)
    assert threading.get_ident() not in {thread for _, thread in calls}


@pytest.mark.parametrize(("n_texts", "on_loop"), [(3, True), (600, False)])
async def test_encoding_many_texts_leaves_event_loop(
    embedder: xlc.Engine, monkeypatch: pytest.MonkeyPatch, n_texts: int, on_loop: bool
) -> None:
    threads = []
    real = _native.Retriever.embed

    def embed(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return real(*args, **kwargs)

    monkeypatch.setattr(_native.Retriever, "embed", embed)
    await embedder.aembed(["a"] * n_texts)
    assert [thread == threading.get_ident() for thread in threads] == [on_loop]
