"""TypedChatAdapter: DSPy's field markers under a constraint."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal

import dspy
import pydantic
import pytest
from dspy.utils.dummies import DummyLM
from dspy.utils.exceptions import AdapterParseError

import xlc_core as xlc
import xlc_dspy
from xlc_core.testing import ScriptedEngine


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


def signature(**fields: Any) -> type[dspy.Signature]:
    return dspy.Signature(
        {"question": (str, dspy.InputField()), **{k: (v, dspy.OutputField()) for k, v in fields.items()}}
    )


def marked(**fields: str) -> str:
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in fields.items()) + "[[ ## completed ## ]]"


def scripted(*replies: Any) -> tuple[ScriptedEngine, dspy.LM]:
    engine = ScriptedEngine(replies)
    return engine, xlc_dspy.lm(engine=engine, cache=False, num_retries=0)


def test_messages_and_demos_are_those_of_dspy() -> None:
    fields = signature(answer=str, tags=list[str])
    demos = [{"question": "a?", "answer": "b", "tags": ["x"]}, {"question": "c?", "answer": "d"}]
    ours, theirs = (
        one.format(fields, demos, {"question": "e?"}) for one in (xlc_dspy.TypedChatAdapter(), dspy.ChatAdapter())
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("kind", "good", "value", "bad"),
    [
        (str, "two\n\nlines", "two\n\nlines", "a [[ ## more ## ]]"),
        (Annotated[str, pydantic.Field(min_length=3)], "ab ", "ab ", "ab"),
        (Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z]{3}-\d$")], "ABC-1", "ABC-1", "ABC1"),
        (Annotated[str, pydantic.Field(max_length=3)], "abc", "abc", "abcd"),
        (bool, "True", True, "true"),
        (Size, "2", Size.LARGE, "3"),
        (Literal["yes", 3], "3", 3, "no"),
        (Annotated[int, pydantic.Field(ge=1)], "7", 7, "0"),
        (datetime.date, "2024-01-05", datetime.date(2024, 1, 5), "2024-13-05"),
        (dict[str, int], '{"a": 1}', {"a": 1}, "{'a': 1}"),
        (str | None, '"a"', "a", "a"),
    ],
    ids=str,
)
def test_values_are_constrained_and_read(kind: Any, good: str, value: Any, bad: str) -> None:
    engine, lm = scripted(marked(value=good, last="ok"))
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        answer = dspy.Predict(signature(value=kind, last=str))(question="?")
    assert answer.value == value
    constraint = engine.requests[0].options.constraint
    assert constraint.accepts(marked(value=good, last="ok"))
    assert not constraint.accepts(marked(value=bad, last="ok"))
    assert not constraint.accepts(marked(last="ok", value=good))
    assert not constraint.accepts(marked(value=good))


def test_demo_as_dspy_writes_it_is_allowed() -> None:
    engine, lm = scripted(marked(answer="b", tags='["x"]', sure="False"))
    fields = signature(answer=str, tags=list[str], sure=bool)
    adapter = xlc_dspy.TypedChatAdapter()
    with dspy.context(lm=lm, adapter=adapter):
        dspy.Predict(fields)(question="?")
    written = adapter.format_assistant_message_content(fields, {"answer": "b", "tags": ["x"], "sure": False})
    assert engine.requests[0].options.constraint.accepts(written.strip())


def test_refusing_validator_asks_again_in_json() -> None:
    even = Annotated[int, pydantic.AfterValidator(lambda n: n if n % 2 == 0 else int("odd"))]
    engine, lm = scripted(marked(n="3"), '{"n": 4}', marked(n="3"))
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        assert dspy.Predict(signature(n=even))(question="?").n == 4
    assert isinstance(engine.requests[1].options.constraint, xlc.JsonSchema)
    strict = xlc_dspy.TypedChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=lm, adapter=strict), pytest.raises(AdapterParseError, match="odd"):
        dspy.Predict(signature(n=even))(question="?")


def test_native_thinking_is_not_asked_for_twice() -> None:
    choice = xlc.CompletionChoice(text=marked(answer="b"), reasoning="Because.")
    engine, lm = scripted(xlc.Completion((choice,), xlc.Usage(5, 4, 0, 2)))
    engine.info = xlc.ModelInfo(**{**vars(engine.info), "supports_thinking": True})
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        answer = dspy.Predict(signature(reasoning=dspy.Reasoning, answer=str))(question="?")
    assert (answer.reasoning.content, answer.answer) == ("Because.", "b")
    assert "reasoning" not in engine.requests[0].options.constraint.text


def test_other_models_are_asked_as_by_dspy() -> None:
    lm = DummyLM([{"answer": "b", "n": "3"}], adapter=dspy.ChatAdapter())
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        answer = dspy.Predict(signature(answer=str, n=int))(question="?")
    assert (answer.answer, answer.n) == ("b", 3)
    assert "response_format" not in lm.history[-1]["kwargs"]


def test_native_calls_are_not_constrained() -> None:
    """The engine has no grammar of tools and markers; calls of one field are constrained without them."""

    def weather(city: str) -> str:
        """Return the weather of a city."""
        return city

    class Calls(dspy.Signature):
        question: str = dspy.InputField()
        tools: list[dspy.Tool] = dspy.InputField()
        thought: str = dspy.OutputField()
        calls: dspy.ToolCalls = dspy.OutputField()

    calls = '{"tool_calls": [{"name": "weather", "args": {"city": "Rome"}}]}'
    engine, lm = scripted(marked(thought="none"), marked(thought="one", calls=calls))
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter(use_native_function_calling=True)):
        answer = dspy.Predict(Calls)(question="?", tools=[dspy.Tool(weather)])
    assert (answer.thought, answer.calls) == ("none", None)
    assert engine.requests[0].options.constraint is None
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        answer = dspy.Predict(Calls)(question="?", tools=[dspy.Tool(weather)])
    assert answer.calls.tool_calls[0].name == "weather"
    assert engine.requests[1].options.constraint.accepts(marked(thought="one", calls=calls))


def test_headers_in_a_line_are_read_as_dspy_reads_them() -> None:
    """A model without constraints writes values behind the header."""
    found = xlc_dspy.TypedChatAdapter().parse(signature(n=int), "[[ ## n ## ]] 3\n[[ ## completed ## ]]")
    assert found == {"n": 3}


def test_type_without_schema_is_not_constrained() -> None:
    odd = Annotated[Any, pydantic.PlainValidator(lambda value: value)]
    engine, lm = scripted(marked(answer="b"))
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        dspy.Predict(signature(answer=odd))(question="?")
    assert len(engine.requests) == 1


async def test_stream_has_the_text_of_a_field(lm: dspy.LM) -> None:
    word = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]{3,12}$")]
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedChatAdapter()):
        listener = dspy.streaming.StreamListener(signature_field_name="first")
        predict = dspy.Predict(signature(first=word, last=word), max_tokens=60)
        items = [item async for item in dspy.streamify(predict, stream_listeners=[listener])(question="Say a word.")]
    *chunks, prediction = items
    assert "".join(chunk.chunk for chunk in chunks).strip() == prediction.first


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_react_never_fails_to_parse(tiny: xlc.Engine, seed: int) -> None:
    """stanfordnlp/dspy#8379, #8901, #8577: a marker within a line, or without an empty line before it."""

    def look_up(word: str) -> str:
        """Look up a word."""
        return word[:3]

    lm = xlc_dspy.lm(engine=tiny, temperature=1.0, seed=seed, max_tokens=260, cache=False, num_retries=0)
    strict = xlc_dspy.TypedChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=lm, adapter=strict):
        answer = dspy.ReAct("question -> answer: float", tools=[look_up], max_iters=2)(question="What is it?")
    assert isinstance(answer.answer, float)
