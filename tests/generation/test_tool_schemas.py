"""Arguments of calls satisfy all that their tool's schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import xlc_core as xlc

GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 64}


def tool(value: Any, name: str = "save", **more: Any) -> xlc.Tool:
    schema = {"type": "object", "properties": {"value": value}, "required": ["value"], **more}
    return xlc.Tool(name=name, description="Save a value.", parameters=schema)


def arguments_of(answer: xlc.Completion, given: xlc.Tool) -> Any:
    (call,) = answer.tool_calls
    arguments = json.loads(call.arguments)
    jsonschema.Draft202012Validator(given.parameters).validate(arguments)
    return arguments


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "n": {"maximum": 3, "type": "integer"}}}


@pytest.mark.parametrize(
    "given",
    [
        tool({"type": "string", "pattern": r"^\d{3}-\d{4}$"}),
        tool({"type": "string", "pattern": r"^\d+\sEUR$"}),
        tool({"type": "integer", "minimum": 1000, "maximum": 1003}),
        tool({"type": "number", "multipleOf": 0.5, "exclusiveMinimum": 7, "maximum": 9}),
        tool({"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 6}]}),
        tool(True),
        tool({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": {**NODE, "required": ["n"]}}}),
        tool({"type": "array", "maxItems": 2000, "items": {"type": "string", "maxLength": 65536}}),
        tool({"type": "string"}, dependentRequired={"value": ["other"]}),
    ],
    ids=["pattern", "pattern-closed", "bounds", "multiple", "allOf", "true", "recursive", "large", "dependent"],
)
def test_arguments_satisfy_the_whole_schema(engine: xlc.Engine, given: xlc.Tool) -> None:
    for choice in ("save", "required"):
        arguments_of(engine.chat("Save the words hello world.", tools=[given], tool_choice=choice, **GREEDY), given)


@pytest.mark.parametrize("names", [("get-time", "get_time"), ("db.query", "db_query"), ("查询", "翻译")])
def test_each_of_similar_names_can_be_called(engine: xlc.Engine, names: tuple[str, str]) -> None:
    tools = [tool({"const": name}, name) for name in names]
    for given in tools:
        answer = engine.chat("Save a value.", tools=tools, tool_choice=given.name, **GREEDY)
        assert answer.tool_calls[0].name == given.name
        arguments_of(answer, given)


def test_definitions_belong_to_their_tool(engine: xlc.Engine) -> None:
    cities = tool({"$ref": "#/$defs/Place"}, "weather", **{"$defs": {"Place": {"enum": ["Oslo", "Rome"]}}})
    points = tool({"$ref": "#/$defs/Place"}, "route", **{"$defs": {"Place": {"enum": [1, 2]}}})
    for tools in ([cities, points], [points, cities]):
        for seed in range(3):
            answer = engine.chat("Go.", tools=tools, tool_choice="required", temperature=1.5, seed=seed, max_tokens=64)
            arguments_of(answer, cities if answer.tool_calls[0].name == "weather" else points)


def test_schema_beside_tools_is_enforced(engine: xlc.Engine) -> None:
    given = tool({"type": "integer", "minimum": 50, "maximum": 51})
    schema = xlc.JsonSchema({"type": "object", "properties": {"x": {"type": "string", "pattern": "^a+$"}}})
    for seed in range(3):
        answer = engine.chat("Go.", tools=[given], constraint=schema, temperature=1.5, seed=seed, max_tokens=64)
        if answer.tool_calls:
            arguments_of(answer, given)
        else:
            assert schema.accepts(answer.text)


def test_long_argument_is_closed_in_time(engine: xlc.Engine) -> None:
    given = tool({"type": "string", "minLength": 20})
    answer = engine.chat("Save a long story.", tools=[given], tool_choice="save", **{**GREEDY, "max_tokens": 48})
    assert len(arguments_of(answer, given)["value"]) >= 20
    assert answer.usage.completion_tokens <= 48


def test_forced_text_is_drafted(engine: xlc.Engine) -> None:
    given = tool({"enum": ["a very long name of a thing that nobody knows"]})
    answer = engine.chat("Save it.", tools=[given], tool_choice="save", **GREEDY)
    assert answer.timings.draft_accepted > 10


def test_schema_that_cannot_be_enforced_is_refused_by_name(engine: xlc.Engine) -> None:
    good = tool({"type": "integer"}, "good")
    for value, place in (({"type": "array", "uniqueItems": True}, "/properties/value/uniqueItems"), (False, "'value'")):
        with pytest.raises(xlc.ConstraintError, match="tool 'bad'") as caught:
            engine.chat("Go.", tools=[good, tool(value, "bad")], max_tokens=1)
        assert place in str(caught.value)
    assert engine.chat("Go.", tools=[tool(False, "bad")], tool_choice="none", max_tokens=1)


def test_nothing_is_written_past_logging(engine: xlc.Engine, capfd: pytest.CaptureFixture[str]) -> None:
    given = tool({"type": "string", "pattern": r"^(?=a)|\bx{1,2}$", "format": "uuid"})
    with pytest.raises(xlc.ConstraintError):
        engine.chat("Go.", tools=[given], tool_choice="save", **GREEDY)
    engine.chat("Go.", tools=[tool({"type": "string", "pattern": r"^\w\s\d$"})], tool_choice="save", **GREEDY)
    assert capfd.readouterr().err == ""
