"""Nothing that a request or a model nests deeply overflows a stack: JSON, tools, and the answers' brackets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers import tiny_models
from helpers.children import run_child
from xlc_core.nesting import MAX_JSON_DEPTH

MODELS = Path(__file__).parents[1] / "model_files"
TOOLS = [{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {}}}}]
BEGUN = '<tool_call>\n{"name": "f", "arguments": {"x": '


def schema_of(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    while levels > 2:
        schema = {"type": "object", "properties": {"x": schema}}
        levels -= 2
    return schema


def arguments_of(levels: int) -> str:
    return '{"x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def chat_with_call(arguments: Any) -> list[dict[str, Any]]:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize("levels", [MAX_JSON_DEPTH + 1, 900, 200_000])
def test_deep_json_is_refused_by_name(engine: xlc.Engine, levels: int) -> None:
    deep: dict[str, Any] = {}
    for _ in range(levels):
        deep = {"properties": deep}
    hi = [{"role": "user", "content": "hi"}]
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("the arguments of a tool call of message 1", chat_with_call(arguments_of(levels)), {"tools": TOOLS}),
        ("message 1: the arguments of a tool call", chat_with_call(deep), {}),
        ("the parameters of the tool 'f'", hi, {"tools": [{"name": "f", "parameters": deep}]}),
        (r"template_kwargs\['x'\]", hi, {"template_kwargs": {"x": deep}}),
    ]
    for name, messages, options in cases:
        with pytest.raises(xlc.InvalidRequestError, match=name + " has more than 128"):
            engine.chat(messages, **options)
        with pytest.raises(xlc.InvalidRequestError, match=name + " has more than 128"):
            engine.render_chat(messages, **options)


def test_deep_calls_and_choices_are_named_in_errors(engine: xlc.Engine) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    message = {"role": "assistant", "content": "", "tool_calls": [deep]}
    with pytest.raises(xlc.InvalidRequestError, match="has the tool call a value of type list"):
        engine.chat([message])
    with pytest.raises(xlc.InvalidRequestError, match=r"tool_choice: .* got a value of type list"):
        engine.chat("hi", tools=TOOLS, tool_choice=deep)  # type: ignore[arg-type]


def on_small_stack(function: Callable[[], Any]) -> Any:
    """Return the function's result from a thread with half a megabyte of stack."""
    results: list[Any] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: results.append(function()))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    return results[0]


def test_continued_call_of_many_brackets_is_refused(engine: xlc.Engine) -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": BEGUN + "[" * 1500}]
    with pytest.raises(xlc.InvalidRequestError, match="too many brackets within brackets"):
        engine.chat(chat, tools=TOOLS, max_tokens=1)


def test_continued_call_of_fewer_brackets_is_parsed(engine: xlc.Engine) -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": BEGUN + "[" * 100}]
    reply = on_small_stack(lambda: engine.chat(chat, tools=TOOLS, max_tokens=2, temperature=0.0))
    assert reply.tool_calls[0].arguments.startswith('{"x": ' + "[" * 100)


def test_answer_of_many_brackets_ends_that_request_only() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=4096, n_parallel=2) as engine:
        chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": BEGUN}]
        other = engine.stream_complete("Once upon a time", max_tokens=200, ignore_eos=True)
        events = iter(other)
        next(events)
        with pytest.raises(xlc.EngineFailedError, match="brackets within brackets"):
            engine.chat(chat, tools=TOOLS, max_tokens=300, temperature=0.0, logit_bias={"[": 1000.0})
        *_, last = events
        assert isinstance(last, xlc.Finished)
        assert last.completion.usage.completion_tokens == 200
        assert engine.chat("hi", max_tokens=1).usage.completion_tokens == 1


@pytest.fixture(scope="module")
def exaone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """A tokenizer whose expression matches words with the spaces between them."""
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    tiny_models.with_metadata(MODELS / "qwen3-embedder.gguf", path, tokenizer__ggml__pre="exaone-moe")
    with xlc.Engine(path, n_threads=1, n_ctx=128) as engine:
        yield engine


@pytest.mark.parametrize("text", ["word " * 40_000, "a" * 300_000, "ab \n" * 50_000, "é e\u0301 " * 30_000])
def test_page_of_words_is_tokenised(exaone: xlc.Engine, text: str) -> None:
    assert exaone.detokenize(on_small_stack(lambda: exaone.tokenize(text))) == text


def test_findings_in_child_processes() -> None:
    """The ways in which one request ended the process."""
    program = f"""
deep = '{{"x": ' + "[" * 200_000 + "]" * 200_000 + "}}"
begun = {BEGUN!r} + "[" * 6000
tools = {json.dumps(TOOLS)}
with xlc.Engine("smollm2-135m-instruct", n_ctx=8192, n_parallel=1, warmup=False, n_threads=1) as engine:
    for messages in (
        [dict(role="user", content="hi"), dict(role="assistant", content="", tool_calls=[
            dict(id="1", function=dict(name="f", arguments=deep))]), dict(role="user", content="hi")],
        [dict(role="user", content="hi"), dict(role="assistant", content=begun)],
    ):
        try:
            engine.chat(messages, tools=tools, max_tokens=1)
            print("answered")
        except xlc.InvalidRequestError:
            print("refused")
"""
    assert run_child(program).split() == ["refused", "refused"]
