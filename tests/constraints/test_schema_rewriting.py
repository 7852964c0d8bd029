"""Keywords that llguidance does not know, or takes differently, said in others: never accepting what is not valid."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.constraints.schema_rewriting import rewritten
from xlc_core.errors import ConstraintError

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 1.5, "", "a", "b", "abc", [], [1], ["a"], [1, 2], {}),
    *({"a": 1}, {"a": "x"}, {"b": 2}, {"a": 1, "b": 2}, {"b": "a", "a": None}, {"k": "a"}, {"k": "b", "a": 1}),
    *({"c": [], "a": 2, "b": True}, {"a": {"a": 1}}, {"a": {}, "b": {"b": 1}}),
]


def random_schema(random_: random.Random, depth: int = 2) -> Any:
    """A small schema of keywords that are rewritten, and of what they are about."""
    if depth < 0 or random_.random() < 0.1:
        return random_.choice([True, {}, {"type": "string"}, {"type": ["number", "object"]}, {"type": "object"}])

    def inner() -> Any:
        return random_schema(random_, depth - 1)

    def name() -> str:
        return random_.choice("abk")

    makers = {
        "type": lambda: random_.choice(["object", "array", "string", "number", "null", ["object", "string"]]),
        "enum": lambda: random_.sample([None, True, False, 1, "a", "b"], 3),
        "const": lambda: random_.choice([None, True, 1, "a"]),
        "required": lambda: [name()],
        "properties": lambda: {name(): inner(), name(): inner()},
        "minLength": lambda: random_.randrange(3),
        "maxItems": lambda: random_.randrange(3),
        "minimum": lambda: random_.randrange(-1, 2),
        "exclusiveMaximum": lambda: random_.randrange(-1, 3),
        "additionalProperties": lambda: random_.choice([False, True, inner()]),
        "not": inner,
        "oneOf": lambda: [inner() for _ in range(random_.randrange(1, 4))],
        "anyOf": lambda: [inner(), inner()],
        "allOf": lambda: [inner(), inner()],
        "if": inner,
        "then": inner,
        "else": inner,
        "dependentRequired": lambda: {name(): [name()]},
        "dependentSchemas": lambda: {name(): inner()},
        "minProperties": lambda: random_.randrange(3),
        "uniqueItems": lambda: random_.random() < 0.3,
    }
    keywords = random_.sample(list(makers), random_.randrange(1, 4))
    return {keyword: makers[keyword]() for keyword in keywords}


@pytest.mark.parametrize("seed", range(4))
def test_random_schemas_accept_only_valid_values(seed: int) -> None:
    random_ = random.Random(seed)
    n_compiled = n_valid = n_accepted = 0
    for _ in range(250):
        schema = random_schema(random_)
        if not isinstance(schema, dict):
            continue
        constraint = JsonSchema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        try:
            constraint.check()
        except ConstraintError:
            continue
        n_compiled += 1
        for value in VALUES:
            accepted, valid = constraint.accepts(json.dumps(value)), validator.is_valid(value)
            assert valid or not accepted, (schema, value, rewritten(schema))
            n_valid += valid
            n_accepted += accepted
    assert n_compiled > 100
    assert n_accepted > 0.95 * n_valid


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({"not": {"type": "string"}}, ["1", "null", "{}"], ['"a"']),
        ({"type": "object", "not": {"required": ["a", "b"]}}, ["{}", '{"a":1}'], ['{"a":1,"b":2}', "1"]),
        ({"not": {"enum": [None, True]}}, ["false", "1"], ["null", "true"]),
        ({"oneOf": [{"type": "string"}]}, ['"a"'], ["1"]),
        (
            {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"type": "string"}}},
            ['"a"', "null"],
            ["1"],
        ),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, ['{"a":1}', '{"b":1}'], ['{"a":1,"b":1}', "{}", "1"]),
        ({"dependentRequired": {"a": ["b"]}}, ['{"a":1,"b":2}', '{"b":2}', "1"], ['{"a":1}']),
        ({"dependencies": {"a": {"minProperties": 2, "required": ["a", "b"]}}}, ['{"a":1,"b":2}', "{}"], ['{"a":1}']),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"maxProperties": 0}},
            ["{}", '{"a":1,"b":2}'],
            ['{"a":1}', '{"b":1}'],
        ),
        ({"type": "array", "uniqueItems": False}, ["[1,1]"], ["1"]),
        ({"type": "array", "uniqueItems": True, "maxItems": 1}, ["[1]"], ["[1,1]"]),
        (
            {"format": "date"},
            ['"2024-02-29"', '"2000-02-29"', "1"],
            ['"2023-02-29"', '"1900-02-29"', '"2024-02-30"', '"0000-01-01"'],
        ),
        ({"format": "date", "pattern": "^20"}, ['"2024-01-31"'], ['"1999-01-31"', '"20"']),
        (
            {"format": "time"},
            ['"23:59:60Z"', '"01:29:60+01:30"', '"15:59:60.5-08:00"', '"12:00:00z"'],
            ['"22:59:60Z"', '"23:59:60+01:00"', '"24:00:00Z"', '"12:00:00"'],
        ),
        ({"format": "date-time"}, ['"1998-12-31T23:59:60Z"', '"2024-02-29t00:00:00z"'], ['"2023-02-29T00:00:00Z"']),
        (
            {"format": "ipv6"},
            ['"::"', '"::1"', '"1::d6:192.168.0.1"', '"1:2:3:4:5:6:7::"', '"::ffff:1.2.3.4"', '"1:2:3:4:5:6:7:8"'],
            ['"1"', '":::"', '"1:2:3:4:5:6:7:8:9"', '"1::2::3"', '"::1.2.3.256"', '"1:2:3:4:5:6:7::8"'],
        ),
        (
            {"format": "hostname"},
            [f'"{"a." * 126}a"', f'"{"a" * 63}.b-c.a--b.d"', '"a-b"', '"1.2"', '"aa-a"'],
            [f'"{"a." * 127}a"', f'"{"a" * 64}"', '"xn--a"', '"ab--c"', '"a-"', '"-a"', '"a..b"', '"a."', '""'],
        ),
    ],
)  # fmt: skip
def test_keywords_are_rewritten(schema: dict[str, Any], accepted: list[str], refused: list[str]) -> None:
    constraint = JsonSchema(schema)
    constraint.check()
    for text in accepted:
        assert constraint.accepts(text), text
    for text in refused:
        assert not constraint.accepts(text), text


def test_siblings_of_ref_count_from_draft_2019_on() -> None:
    schema = {"$ref": "#/definitions/a", "maxLength": 1, "definitions": {"a": {"type": "string"}}}
    assert not JsonSchema(schema).accepts('"ab"')
    assert JsonSchema({"$schema": "http://json-schema.org/draft-07/schema#", **schema}).accepts('"ab"')


def test_target_of_ref_keeps_its_place() -> None:
    schema = {
        "oneOf": [{"type": "string", "maxLength": 2}, {"type": "array", "items": {"$ref": "#/oneOf/0"}}],
        "properties": {"a": {"not": {"not": {"type": "null"}}}, "b": {"$ref": "#/properties/a/not/not"}},
    }
    assert rewritten(schema)["oneOf"] == schema["oneOf"]
    assert rewritten(schema)["properties"]["a"] == schema["properties"]["a"]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a/b": {"minProperties": 2}}}, "/properties/a~1b/minProperties"),
        ({"allOf": [{"items": {"contains": {}}}]}, "/allOf/0/items/contains"),
        ({"properties": {"a": {"not": {"pattern": "x"}}}}, "/properties/a/not"),
        ({"properties": {"a": {"oneOf": [{"minLength": 1}, {"pattern": "x"}]}}}, "/properties/a/oneOf"),
        ({"properties": {"a": {"type": "string", "format": "shoe-size"}}}, "/properties/a/format"),
        ({"unevaluatedProperties": False}, "/unevaluatedProperties"),
        ({"propertyNames": {"maxLength": 3, "pattern": "a"}}, "/propertyNames"),
    ],
)
def test_refusal_names_place(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(ConstraintError, match=place):
        JsonSchema(schema).check()


def test_accepts_allows_any_order_of_properties() -> None:
    names = [f"p{i}" for i in range(12)]
    schema = {"properties": {name: {"type": "integer"} for name in names}, "required": names[3:5]}
    value = {"other": 1, "another": {}, **dict.fromkeys(reversed(names), 1)}
    constraint = JsonSchema(schema)
    assert constraint.accepts(json.dumps(value, indent=2))
    assert not constraint.accepts(json.dumps({**value, "p0": "x"}))
    assert not constraint.accepts('{"p4": 1, "p0": 1}')
    assert not constraint.accepts('{"p4": "x", "p3": 1, "p4": 1}')
    assert not constraint.accepts('{"p4": NaN, "p3": 1}')


def test_accepts_allows_escapes() -> None:
    constraint = JsonSchema({"properties": {"é/": {"enum": ["ü😀\x7f\n"]}}, "additionalProperties": False})
    for text in (r'{"\u00e9\/": "\u00fc\ud83d\ude00\u007f\u000a"}', '{"é/": "ü😀\x7f\\n"}'):
        assert constraint.accepts(text), text
    assert not JsonSchema({"type": "string"}).accepts(r'"\ud83d"')
    assert not JsonSchema({"type": "string"}).accepts(r'"\x41"')
    assert JsonObject().accepts(r'{"\u0061": 1}')


def test_schemas_that_multiply_are_not_rewritten() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        schema = {"oneOf": [{"not": schema}, {"minLength": 3, "allOf": [schema]}, {"required": ["a"]}]}
    assert len(json.dumps(rewritten(schema))) < 1 << 20
    recursive = {"$ref": "#/$defs/a", "$defs": {"a": {"oneOf": [{"$ref": "#/$defs/a"}] * 8}}}
    with pytest.raises(ConstraintError):
        JsonSchema(recursive).check()


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"required": ["a", ["b"]]}, "/properties/a/required must be a list of names"),
        ({"required": "a"}, "/properties/a/required must be a list of names"),
        ({"dependentRequired": {"a/b": 5}}, "/properties/a/dependentRequired/a~1b must be a list of names"),
        ({"oneOf": [{"type": 5}, {"type": "null"}]}, "/properties/a/oneOf/0/type must be a list of names"),
        ({"format": "date", "maxLength": "5"}, "/properties/a/maxLength must be a number"),
    ],
)
def test_keyword_of_another_shape_is_refused_by_its_place(part: Any, place: str) -> None:
    with pytest.raises(ConstraintError, match=place):
        JsonSchema({"type": "object", "properties": {"a": part}}).check()
