"""TypedAdapter and TypedChatAdapter: answers that always parse, in JSONAdapter's form and in ChatAdapter's."""

from __future__ import annotations

import asyncio
import datetime
import enum
import re
from typing import Annotated, Any, Literal

import dspy
import pydantic
import pytest
from dspy.utils.dummies import DummyLM
from dspy.utils.exceptions import AdapterParseError

import xlc_core as xlc
import xlc_dspy
from xlc_core.testing import ScriptedEngine


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Node(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=5)
    children: list[Node] = pydantic.Field(default_factory=list, max_length=2)


TYPES: dict[str, Any] = {
    "bool": bool,
    "int": Annotated[int, pydantic.Field(ge=1, le=5)],
    "float": float,
    "choice": Literal["yes", "no", 3],
    "enum": Color,
    "optional": str | None,
    "list": list[int],
    "mapping": dict[str, float],
    "tuple": tuple[int, str],
    "date": datetime.date,
    "pattern": Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z]{3}-\d{2}$")],
    "model": Node,
    "union": int | list[str],
    "code": dspy.Code["python"],
    "reasoning": dspy.Reasoning,
    "text": str,
}


ADAPTERS = [xlc_dspy.TypedAdapter, xlc_dspy.TypedChatAdapter]


def signature(**fields: Any) -> type[dspy.Signature]:
    return dspy.Signature(
        {"question": (str, dspy.InputField()), **{k: (v, dspy.OutputField()) for k, v in fields.items()}}
    )


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_answer_parses_in_every_type(tiny: xlc.Engine, adapter: type[dspy.Adapter], name: str, seed: int) -> None:
    """Also where the tokens run out: the answer is closed within its constraint."""
    lm = xlc_dspy.lm(engine=tiny, temperature=1.0, seed=seed, max_tokens=150, cache=False, num_retries=0)
    with dspy.context(lm=lm, adapter=adapter()):
        answer = dspy.Predict(signature(value=TYPES[name], other=bool))(question="What do you think?")
    value = answer.value
    pydantic.TypeAdapter(TYPES[name]).validate_python(value, strict=not isinstance(value, (pydantic.BaseModel, str)))
    assert isinstance(answer.other, bool)
    assert len(lm.history) == 1  # no second answer after one that does not parse


@pytest.mark.parametrize(
    "text",
    [
        '{"when": "2024-01-05", "color": "b", "size": 3}',
        "{'when': '2024-01-05', 'color': 'BLUE', 'size': '3',}",  # as models without constraints write
    ],
)
def test_types_read_the_answer(text: str) -> None:
    fields = signature(when=datetime.date, color=Color, size=Annotated[int, pydantic.Field(le=5)])
    assert xlc_dspy.TypedAdapter().parse(fields, text) == {
        "when": datetime.date(2024, 1, 5),
        "color": Color.BLUE,
        "size": 3,
    }


@pytest.mark.parametrize("text", ['{"size": 9}', '{"size": "9",}', "nine", "{}"])
def test_misfit_raises_error_of_dspy(text: str) -> None:
    with pytest.raises(AdapterParseError):
        xlc_dspy.TypedAdapter().parse(signature(size=Annotated[int, pydantic.Field(le=5)]), text)


def test_messages_and_demos_are_those_of_dspy() -> None:
    fields = signature(answer=str, tags=list[str])
    demos = [{"question": "a?", "answer": "b", "tags": ["x"]}, {"question": "c?", "answer": "d"}]
    inputs = {"question": "e?"}
    ours, theirs = (one.format(fields, demos, inputs) for one in (xlc_dspy.TypedAdapter(), dspy.JSONAdapter()))
    assert ours == theirs
    assert "[[ ## question ## ]]\ne?" in ours[-1]["content"]


def schema_of(engine: ScriptedEngine, number: int = 0) -> Any:
    constraint = engine.requests[number].options.constraint
    assert isinstance(constraint, xlc.JsonSchema)
    return constraint.schema


def scripted(*replies: Any, **options: Any) -> tuple[ScriptedEngine, dspy.LM]:
    engine = ScriptedEngine(replies)
    return engine, xlc_dspy.lm(engine=engine, cache=False, num_retries=0, **options)


def test_limits_are_part_of_the_constraint() -> None:
    engine, lm = scripted('{"n": 3, "m": {"a": 1}}')
    fields = signature(n=int, m=dict[str, Any]).with_updated_fields("n", type_=Annotated[int, pydantic.Field(ge=1)])
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        assert dspy.Predict(fields)(question="?").m == {"a": 1}
    schema = schema_of(engine)
    assert schema["properties"]["n"]["minimum"] == 1
    assert list(schema["properties"]) == schema["required"] == ["n", "m"]
    assert schema["additionalProperties"] is False


def test_refusing_validator_raises_error_of_dspy() -> None:
    even = Annotated[int, pydantic.AfterValidator(lambda n: n if n % 2 == 0 else int("odd"))]
    _, lm = scripted('{"n": 3}')
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()), pytest.raises(AdapterParseError, match="odd"):
        dspy.Predict(signature(n=even))(question="?")


def test_native_thinking_is_not_asked_for_twice() -> None:
    choice = xlc.CompletionChoice(text='{"answer": "b"}', reasoning="Because.")
    engine, lm = scripted(xlc.Completion((choice,), xlc.Usage(5, 4, 0, 2)))
    engine.info = xlc.ModelInfo(**{**vars(engine.info), "supports_thinking": True})
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        answer = dspy.Predict(signature(reasoning=dspy.Reasoning, answer=str))(question="?")
    assert (answer.reasoning.content, answer.answer) == ("Because.", "b")
    assert list(schema_of(engine)["properties"]) == ["answer"]
    assert engine.requests[0].options.thinking is True


def weather(city: Literal["Rome", "Oslo"]) -> str:
    """Return the weather of a city."""
    return f"Sunny in {city}."


class Calls(dspy.Signature):
    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


def test_native_calls(typed: dspy.LM) -> None:
    answer = dspy.Predict(Calls, tool_choice="required", parallel_tool_calls=False, max_tokens=60)(
        question="Rome?", tools=[dspy.Tool(weather)]
    )
    [call] = answer.calls.tool_calls
    assert call.name == "weather"
    assert weather(**call.args).startswith("Sunny")
    assert "response_format" not in typed.history[-1]["kwargs"]


def test_calls_beside_other_fields() -> None:
    engine, lm = scripted('{"thought": "none"}')
    fields = Calls.append("thought", dspy.OutputField(), str)
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        answer = dspy.Predict(fields)(question="?", tools=[dspy.Tool(weather)])
    assert (answer.thought, answer.calls) == ("none", None)
    assert list(schema_of(engine)["properties"]) == ["thought"]
    assert [tool.name for tool in engine.requests[0].options.tools] == ["weather"]


def test_other_models_are_asked_as_by_dspy() -> None:
    lm = DummyLM([{"answer": "b", "n": "3"}], adapter=dspy.JSONAdapter())
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        answer = dspy.Predict(signature(answer=str, n=int))(question="?")
    assert (answer.answer, answer.n) == ("b", 3)
    assert "response_format" not in lm.history[-1]["kwargs"]


def test_type_without_schema_gets_an_object(typed: dspy.LM) -> None:
    odd = Annotated[Any, pydantic.PlainValidator(lambda value: value)]
    dspy.Predict(signature(answer=pydantic.InstanceOf[object]), max_tokens=40)
    predict = dspy.Predict(signature(answer=odd), max_tokens=16)
    assert "answer" in predict(question="?").toDict()


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), dspy.ChatAdapter(), dspy.XMLAdapter()])
def test_adapters_of_dspy_work_too(lm: dspy.LM, adapter: dspy.Adapter) -> None:
    """ChatAdapter and XMLAdapter fall back to a constraint, so that no answer fails."""
    with dspy.context(lm=lm, adapter=adapter):
        answer = dspy.Predict(signature(stars=Literal[1, 2, 3]))(question="How many?")
    assert answer.stars in {1, 2, 3}


@pytest.mark.parametrize("streamed_field", ["first", "last"])
async def test_stream_listener(lm: dspy.LM, streamed_field: str) -> None:
    fields = signature(
        first=Annotated[str, pydantic.Field(max_length=12)], last=Annotated[str, pydantic.Field(max_length=12)]
    )
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        listener = dspy.streaming.StreamListener(signature_field_name=streamed_field)
        stream = dspy.streamify(dspy.Predict(fields), stream_listeners=[listener])(question="Say a word.")
        items = [item async for item in stream]
    *chunks, prediction = items
    assert isinstance(prediction, dspy.Prediction)
    text = "".join(chunk.chunk for chunk in chunks)
    assert chunks[-1].is_last_chunk
    assert re.sub(r"\W", "", prediction[streamed_field]) in re.sub(r"\W", "", text)


async def test_async_programs(typed: dspy.LM) -> None:
    predict = dspy.Predict(signature(n=Literal[1, 2, 3]))
    answers = await asyncio.gather(*(predict.acall(question=f"{n}?") for n in range(32)))
    assert {answer.n for answer in answers} <= {1, 2, 3}
