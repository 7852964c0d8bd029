"""The schemas of tools: refused by name and place, closed where that is safe, and as plain text."""

from __future__ import annotations

import json
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.constraints.checking import native_module
from xlc_core.constraints.tool_arguments import ToolArguments, tool_arguments


def arguments(schema: dict[str, Any]) -> ToolArguments:
    return tool_arguments("save", json.dumps(schema))


def of_value(value: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"value": value}, "required": ["value"]}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (of_value({"type": "array", "uniqueItems": True}), "/properties/value/uniqueItems"),
        (of_value({"allOf": [{"type": "string"}, {"type": "integer"}]}), "'value' is unsatisfiable"),
        (of_value(False), "'value' is unsatisfiable"),
        (of_value({"type": "string", "pattern": "(?=a)b"}), "look-around"),
        (of_value({"type": "string", "maxLength": "9"}), "/properties/value/maxLength"),
    ],
)
def test_schema_that_cannot_be_enforced_is_refused_by_name(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(xlc.ConstraintError, match="the parameters of the tool 'save' are refused") as caught:
        arguments(schema)
    assert reason in str(caught.value)


def test_deep_schema_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = of_value(schema)
    with pytest.raises(xlc.ConstraintError, match="tool 'save' are refused: the JSON schema is nested"):
        arguments(schema)


def test_objects_are_closed_where_they_list_their_properties() -> None:
    nested = of_value(of_value({"type": "integer"}))
    schema = json.loads(arguments(nested).schema)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["value"]["additionalProperties"] is False
    for more in ({"additionalProperties": True}, {"patternProperties": {"^x": {}}}, {"required": ["other"]}):
        assert json.loads(arguments({**nested, **more}).schema).get("additionalProperties") is not False


def test_patterns_of_names_apply_to_all_arguments_together() -> None:
    for patterns in ({"^x": {}}, {"^v": {}}, {"(a+)+$": {}}):
        schema = {"type": "object", "patternProperties": patterns}
        assert arguments(schema).together == "patternProperties"
        beside = {**of_value({"type": "integer"}), **schema}
        assert arguments(beside).together == ("patternProperties" if "^v" in patterns else "")
    # No backtracking: Python's expressions would take years for this name.
    name = "a" * 60 + "!"
    parts = {"properties": {name: {"type": "integer"}}, "patternProperties": {"(a+)+$": {}}}
    assert arguments({"type": "object", **parts}).together == ""


def test_parts_of_a_sum_stay_open() -> None:
    parts = [of_value({"type": "integer"}), {"properties": {"other": {"type": "integer"}}, "required": ["other"]}]
    made = arguments({"allOf": parts})
    assert "additionalProperties" not in json.dumps(json.loads(made.schema)["allOf"])
    assert xlc.JsonSchema(made.schema).accepts('{"value": 1, "other": 2}')
    assert [one.name for one in made.one_by_one()] == ["value", "other"]


def test_formats_that_are_hints_are_dropped() -> None:
    assert "format" not in arguments(of_value({"type": "integer", "format": "int64"})).schema
    assert "format" in arguments(of_value({"type": "string", "format": "date"})).schema


def test_keywords_for_all_arguments_are_refused_one_by_one() -> None:
    branches = [of_value({"type": "integer"}), of_value({"type": "boolean"})]
    made = arguments({"type": "object", "anyOf": branches})
    with pytest.raises(xlc.ConstraintError, match=r"tool 'save' .* the keyword at /anyOf"):
        made.one_by_one()


@pytest.mark.parametrize(
    ("value", "accepted", "refused"),
    [
        ({"type": "string", "pattern": r"^\d{3}-\d{4}$"}, ["123-4567"], ["x123-4567", "123-45678", "١٢٣-4567"]),
        ({"type": "string", "pattern": "ab|^cd$"}, ["xaby", "cd"], ["xcd", "b"]),
        ({"type": "string", "pattern": r"[\w^$]\$"}, ["a$", "x^$"], ["a"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["é\n", "abc"], ["a", "abcd"]),
        ({"enum": ["a/b", "c", 1]}, ["a/b", "c"], ["1", "a"]),
        ({"const": "x"}, ["x"], ["y"]),
        ({"type": ["string", "null"], "maxLength": 4}, ["abcd"], ["abcde"]),
        ({"anyOf": [{"type": "integer"}, {"enum": ["all"]}]}, ["all"], ["7"]),
        ({"allOf": [{"type": "string"}, {"pattern": "^a"}], "maxLength": 2}, ["ab"], ["b", "abc"]),
        ({"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29"]),
    ],
)
def test_texts_without_quotes_match_their_schema(value: Any, accepted: list[str], refused: list[str]) -> None:
    term = arguments(of_value(value)).arguments[0].text
    grammar = f"%llguidance {{}} start: TEXT\nTEXT: {term}"
    native = native_module()
    assert [text for text in accepted if not native.accepts("lark", grammar, text)] == []
    assert [text for text in refused if native.accepts("lark", grammar, text)] == []


@pytest.mark.parametrize(
    "value",
    [{"type": "integer"}, {}, True, {"type": "string", "pattern": "(a|^b)c"}, {"type": "string", "format": "uri"}],
)
def test_other_values_are_written_as_json(value: Any) -> None:
    assert arguments(of_value(value)).arguments[0].text is None


def test_optional_argument_without_a_value_is_left_out() -> None:
    values = {"a": {"type": "integer"}, "b": {"type": "string", "minLength": 5, "maxLength": 2}}
    made = arguments({"type": "object", "properties": values})
    assert [one.name for one in made.one_by_one()] == ["a"]


def test_definitions_and_references_come_along() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "size": {"$ref": "#/$defs/size"}}}
    made = arguments({**tree, "$defs": {"size": {"type": "integer", "maximum": 3}}})
    native = native_module()
    left = f"%llguidance {{}} start: {made.arguments[0].json}"
    assert native.accepts("lark", left, '{"left": {"size": 3}}')
    assert not native.accepts("lark", left, '{"left": {"size": 4}}')
