"""Tools and a schema in one request: a call or an answer that fits, by one grammar."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

import xlc_core as xlc
from xlc_core.constraints.conversion import to_constraint
from xlc_core.generation.answer_tool import AnswerTool
from xlc_core.generation.conversion import to_tools
from xlc_core.generation.tool_choice import to_tool_use


class Verdict(BaseModel):
    """Whether it rains."""

    rain: Literal["yes", "no"]


ZONE = xlc.Tool(
    name="get_time",
    description="The time in a zone",
    parameters={
        "type": "object",
        "properties": {"zone": {"type": "string", "enum": ["CET", "PET"]}},
        "required": ["zone"],
        "additionalProperties": False,
    },
)
VERDICT_FIRST = xlc.Tool(name="Verdict")


def reading(tool: AnswerTool, *events: xlc.Event) -> list[xlc.Event]:
    return [read for event in events if (read := tool.read(event)) is not None]


def wanted(**options: Any) -> AnswerTool:
    use = to_tool_use(to_tools(options["tools"]), options.get("tool_choice", "auto"))
    tool = AnswerTool.wanted_by(to_constraint(options["constraint"]), use)
    assert tool is not None
    return tool


@pytest.mark.parametrize("seed", range(3))
def test_answer_is_a_call_or_fits_the_schema(engine: xlc.Engine, seed: int) -> None:
    options: dict[str, Any] = {"tools": [ZONE], "constraint": Verdict, "seed": seed, "max_tokens": 96}
    answer = engine.chat("What time is it in Paris? Or does it rain?", **options)
    if answer.tool_calls:
        assert answer.finish_reason == "tool_calls"
        assert json.loads(answer.tool_calls[0].arguments)["zone"] in ("CET", "PET")
        assert (answer.text, answer.parsed) == ("", None)
    else:
        assert answer.finish_reason == "stop"
        assert isinstance(answer.parsed, Verdict)


def test_model_chooses_between_both(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"tools": [ZONE], "constraint": Verdict, "temperature": 0, "max_tokens": 64}
    assert engine.chat("Call get_time for CET.", **options).tool_calls[0].name == "get_time"
    assert isinstance(engine.chat("Give the Verdict.", **options).parsed, Verdict)


def test_deltas_make_up_the_answer(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"tools": [ZONE], "constraint": Verdict, "max_tokens": 96, "temperature": 0, "seed": 1}
    events = list(engine.stream_chat("Does it rain?", **options))
    finished = events[-1]
    assert isinstance(finished, xlc.Finished)
    text = "".join(event.text for event in events if isinstance(event, xlc.TextDelta))
    calls = "".join(event.arguments for event in events if isinstance(event, xlc.ToolCallDelta))
    assert text == finished.completion.text
    assert calls == "".join(call.arguments for call in finished.completion.tool_calls)
    assert text or calls


async def test_async_is_the_same(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {"tools": [ZONE], "constraint": Verdict, "max_tokens": 96, "temperature": 0, "seed": 1}
    assert (await engine.achat("Does it rain?", **options)).text == engine.chat("Does it rain?", **options).text


def test_schema_is_shown_as_a_tool_of_its_own_name(engine: xlc.Engine) -> None:
    prompt = engine.render_chat("Does it rain?", tools=[ZONE], constraint=Verdict)
    assert '"name": "Verdict"' in prompt
    assert "Whether it rains." in prompt


def test_taken_name_is_avoided() -> None:
    assert wanted(tools=[ZONE, VERDICT_FIRST], constraint=Verdict).tool.name == "final_Verdict"
    assert wanted(tools=[ZONE], constraint={"title": "no name", "type": "object"}).tool.name == "answer"


def test_calls_keep_their_numbers_without_the_answer() -> None:
    tool = wanted(tools=[ZONE], constraint=Verdict)
    choice = xlc.CompletionChoice(
        text="Well,",
        tool_calls=(
            xlc.ToolCall(id="1", name="Verdict", arguments='{"rain":"no"}'),
            xlc.ToolCall(id="2", name="get_time", arguments='{"zone":"CET"}'),
            xlc.ToolCall(id="3", name="Verdict", arguments='{"rain":"yes"}'),
        ),
        finish_reason="tool_calls",
    )
    read = reading(
        tool,
        xlc.TextDelta("Well,"),
        xlc.ToolCallDelta(0, "1", "Verdict"),
        xlc.ToolCallDelta(0, arguments='{"rain":"no"}'),
        xlc.ToolCallDelta(1, "2", "get_time"),
        xlc.ToolCallDelta(1, arguments='{"zone":"CET"}'),
        xlc.ToolCallDelta(2, "3", "Verdict", '{"rain":"yes"}'),
        xlc.Finished(xlc.Completion((choice,), xlc.Usage(1, 1))),
    )
    assert read[:-1] == [
        xlc.TextDelta('{"rain":"no"}'),
        xlc.ToolCallDelta(0, "2", "get_time"),
        xlc.ToolCallDelta(0, arguments='{"zone":"CET"}'),
    ]
    finished = read[-1]
    assert isinstance(finished, xlc.Finished)
    assert finished.completion.text == '{"rain":"no"}'
    assert [call.name for call in finished.completion.tool_calls] == ["get_time"]
    assert finished.completion.finish_reason == "tool_calls"


def test_invalid_tool_is_refused(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.UnsupportedFeatureError, match="must describe an object, got type 'array'"):
        engine.chat("Hi", tools=[ZONE], constraint=list[int])
