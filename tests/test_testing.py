"""ScriptedEngine stands in for Engine wherever an adapter uses one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import xlc_core as xlc
from xlc_core.reranking import rerank_documents
from xlc_core.scripted_streams import AsyncScriptedStream, ScriptedStream
from xlc_core.testing import ScriptedEngine

# Methods that adapters do not use.
LEFT_OUT = {
    f"{prefix}{name}"
    for prefix in ("", "a")
    for name in ("embed_messages", "save_session", "load_session", "memory", "decide", "request_settings")
}


def public_methods(cls: type) -> dict[str, Callable[..., Any]]:
    return {name: method for name, method in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


def test_it_has_engines_methods() -> None:
    assert public_methods(ScriptedEngine).keys() == public_methods(xlc.Engine).keys() - LEFT_OUT


@pytest.mark.parametrize("name", sorted(public_methods(xlc.Engine).keys() - LEFT_OUT))
def test_methods_have_parameters_of_engine(name: str) -> None:
    real = inspect.signature(getattr(xlc.Engine, name)).parameters
    fake = inspect.signature(getattr(ScriptedEngine, name)).parameters
    named = {key for key, parameter in fake.items() if parameter.kind is not parameter.VAR_KEYWORD}
    assert named <= real.keys()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in fake.values())
    assert takes_any or named == real.keys()
    positional = [key for key, parameter in real.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert [key for key, parameter in fake.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD] == positional
    assert inspect.iscoroutinefunction(getattr(ScriptedEngine, name)) == inspect.iscoroutinefunction(
        getattr(xlc.Engine, name)
    )


def test_replies_come_in_order_and_last_one_stays() -> None:
    engine = ScriptedEngine(["one", "two"])
    assert [engine.chat("Hi").text for _ in range(3)] == ["one", "two", "two"]
    assert engine.complete("Hi").text == "two"


def test_error_is_raised_and_next_reply_follows() -> None:
    engine = ScriptedEngine([xlc.RequestTimeoutError("too slow"), "fine"])
    with pytest.raises(xlc.RequestTimeoutError, match="too slow"):
        engine.chat("Hi")
    assert engine.chat("Hi").text == "fine"


def test_requests_are_kept_with_their_options() -> None:
    engine = ScriptedEngine()
    engine.chat([{"role": "user", "content": "Hi"}], temperature=0.5)
    engine.complete("Once", max_tokens=3)
    chat, completion = engine.requests
    assert chat.messages == (xlc.Message(role="user", content="Hi"),)
    assert chat.options.temperature == 0.5
    assert (completion.prompt, completion.options.max_tokens) == ("Once", 3)


def test_wrong_options_are_refused_as_by_engine() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="did you mean 'temperature'"):
        ScriptedEngine().chat("Hi", temprature=1)  # type: ignore[call-arg]


def test_stream_has_reply_in_pieces() -> None:
    call = xlc.ToolCall(id="1", name="f", arguments='{"a": 1}')
    choice = xlc.CompletionChoice(text="one two  three ", reasoning="so it is", tool_calls=(call,))
    engine = ScriptedEngine([xlc.Completion((choice,), xlc.Usage())])
    events = list(engine.stream_chat("Hi"))
    assert "".join(event.text for event in events if isinstance(event, xlc.TextDelta)) == choice.text
    assert "".join(event.text for event in events if isinstance(event, xlc.ReasoningDelta)) == choice.reasoning
    assert "".join(e.arguments for e in events if isinstance(e, xlc.ToolCallDelta)) == call.arguments
    assert isinstance(events[-1], xlc.Finished)
    assert events[-1].completion.choices == (choice,)


async def test_async_twins_play_same_script() -> None:
    engine = ScriptedEngine(["one two"])
    assert (await engine.achat("Hi")).text == (await engine.acomplete("Hi")).text == "one two"
    events = [event async for event in engine.astream_chat("Hi")]
    assert events == list(engine.stream_chat("Hi"))
    assert (await engine.aembed(["a"])).shape == (1, 8)
    assert await engine.arerank("a", ["b", "a"]) == engine.rerank("a", ["b", "a"])


def test_events_can_be_scripted_one_by_one() -> None:
    events = [xlc.TextDelta("a"), xlc.Finished(xlc.Completion((xlc.CompletionChoice(text="a"),), xlc.Usage()))]
    assert list(ScriptedEngine([events]).stream_chat("Hi")) == events


def test_closed_stream_yields_no_more() -> None:
    with ScriptedEngine(["one two three"]).stream_chat("Hi") as stream:
        next(stream)
    assert list(stream) == []


@pytest.mark.parametrize(
    ("real", "fake"), [(xlc.EventStream, ScriptedStream), (xlc.AsyncEventStream, AsyncScriptedStream)]
)
def test_its_streams_have_methods_of_real_ones(real: type, fake: type) -> None:
    assert public_methods(real).keys() == public_methods(fake).keys()
    for name, method in public_methods(real).items():
        assert inspect.signature(method).parameters.keys() == inspect.signature(getattr(fake, name)).parameters.keys()
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(getattr(fake, name))


async def test_cancelled_stream_keeps_earlier_events() -> None:
    engine = ScriptedEngine(["one two three"])
    stream = engine.stream_chat("Hi")
    first = next(stream)
    stream.cancel()
    cancelled = stream.result()
    assert isinstance(first, xlc.TextDelta)
    assert (cancelled.text, cancelled.finish_reason) == (first.text, "cancelled")
    assert list(stream) == []
    before_its_start = engine.astream_chat("Hi")
    before_its_start.cancel()
    assert (await before_its_start.result()).finish_reason == "cancelled"


async def test_stream_that_was_closed_has_no_result() -> None:
    engine = ScriptedEngine(["one two three"])
    stream = engine.stream_chat("Hi")
    stream.close()
    with pytest.raises(xlc.RequestCancelledError):
        stream.result()
    async with engine.astream_chat("Hi") as closed:
        pass
    with pytest.raises(xlc.RequestCancelledError):
        await closed.result()


def test_closed_engine_answers_no_more() -> None:
    with ScriptedEngine(["a"]) as engine:
        pass
    assert engine.closed
    with pytest.raises(xlc.EngineClosedError):
        engine.chat("Hi")


def test_vectors_and_scores_depend_on_words() -> None:
    engine = ScriptedEngine()
    vectors = engine.embed(["red llama", "llama red", "blue bank"])
    assert vectors.dtype == np.float32
    assert vectors[0] == pytest.approx(vectors[1])
    assert engine.embed(["llama"], prompt="red ")[0] == pytest.approx(vectors[0])
    assert [score.index for score in engine.rerank("red llama", ["a bank", "a red llama"], top_n=1)] == [1]


def test_vectors_and_scores_can_be_scripted() -> None:
    engine = ScriptedEngine(
        embeddings=lambda texts: np.ones((len(texts), 2), dtype=np.float32),
        scores=lambda query, documents: [float(len(document)) for document in documents],
    )
    assert engine.embed(["a"]).tolist() == [[1, 1]]
    assert [score.index for score in engine.rerank("q", ["a", "aaa", "aa"])] == [1, 2, 0]


def test_token_is_byte() -> None:
    engine = ScriptedEngine()
    assert engine.detokenize(engine.tokenize("ü")) == "ü"
    assert engine.count_tokens("ü") == 2
    assert engine.count_tokens([{"role": "user", "content": "a"}]) == len(engine.render_chat("a"))


async def test_streams_of_embeddings() -> None:
    engine = ScriptedEngine()
    texts = [f"text {number}" for number in range(40)]
    expected = engine.embed(texts, prompt="query: ")
    np.testing.assert_array_equal(list(engine.embed_stream(iter(texts), prompt="query: ")), expected)
    np.testing.assert_array_equal([row async for row in engine.aembed_stream(texts, prompt="query: ")], expected)
    assert next(engine.embed_stream(texts, dtype="binary")).shape == (1,)


def test_stream_text() -> None:
    with ScriptedEngine(["one two  three"]).stream_chat("Hi") as stream:
        assert list(stream.text()) == ["one", " two", "  three"]


async def test_async_stream_text() -> None:
    async with ScriptedEngine(["one two"]).astream_chat("Hi") as stream:
        assert [text async for text in stream.text()] == ["one", " two"]


def test_stream_objects() -> None:
    class Point(BaseModel):
        x: int
        y: int

    text = '{"x": 1, "y": 2}'
    reply = xlc.Completion((xlc.CompletionChoice(text=text, constraint=xlc.JsonSchema(Point)),), xlc.Usage())
    assert list(ScriptedEngine([reply]).stream_chat("Hi", constraint=Point).objects())[-1] == Point(x=1, y=2)


async def test_cancel_keeps_text_so_far() -> None:
    engine = ScriptedEngine(["one two three"])
    stream = engine.stream_chat("Hi")
    next(stream)
    stream.cancel()
    (finished,) = stream
    later = engine.astream_chat("Hi")
    await anext(later)
    later.cancel()
    assert isinstance(finished, xlc.Finished)
    assert (finished.completion.text, finished.completion.finish_reason) == ("one", "cancelled")
    assert [event async for event in later] == [finished]
    early = engine.astream_chat("Hi")
    early.cancel()
    assert (await early.result()).text == ""


def test_unknown_tool_choice_raises() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="the tools given are"):
        ScriptedEngine().chat(
            "Hi", tools=[xlc.Tool(name="f")], tool_choice={"type": "function", "function": {"name": "g"}}
        )


def test_late_interaction_splits_long_documents() -> None:
    info = replace(ScriptedEngine().info, n_ctx=24, can_rerank=False)
    engine: Any = ScriptedEngine(info=info)
    documents = ["blue bank " * 4 + "red llama", "blue bank " * 4]
    found = rerank_documents(engine, "red llama", documents, method="late-interaction", truncate="split")
    assert [score.index for score in found] == [0, 1]
    assert found[0].score == pytest.approx(1.0)
