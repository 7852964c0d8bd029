"""Answers for a type are of that type, whatever the model writes: a tiny model with random weights writes noise."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, conset, constr

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.typed_answers import TYPES, Animal, Colour, types
from xlc_core.frameworks import close_schema

FEW = settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "noise.gguf")
    with xlc.Engine(path, n_ctx=1024, n_parallel=1, warmup=False) as engine:
        yield engine


def answers(engine: xlc.Engine, kind: Any, seeds: range, max_tokens: int = 200) -> list[Any]:
    """Generate answers; those that were cut off, because the type needs more tokens, are left out."""
    found = []
    for seed in seeds:
        reply = engine.complete(
            "x", constraint=kind, max_tokens=max_tokens, temperature=(1.0, 3.0)[seed % 2], seed=seed, top_k=0, top_p=1.0
        )
        if reply.finish_reason == "stop" or xlc.JsonSchema(kind).accepts(reply.text):
            found.append(reply.parsed)
    return found


@pytest.mark.parametrize("name", TYPES)
def test_every_answer_is_of_type(noise: xlc.Engine, name: str) -> None:
    assert len(answers(noise, TYPES[name], range(2)))


@FEW
@given(kind=types())
def test_every_answer_is_of_made_type(noise: xlc.Engine, kind: Any) -> None:
    answers(noise, kind, range(2))


def accepts(kind: Any, value: Any) -> bool:
    return xlc.JsonSchema(kind).accepts(json.dumps(value))


def test_tags_are_required() -> None:
    assert accepts(Animal, {"kind": "cat", "age": 3})
    assert accepts(Animal, {"kind": "wolf"})
    assert accepts(Animal, {"kind": "fish", "water": "salt"})
    assert not accepts(Animal, {"age": 3})
    assert not accepts(Animal, {"kind": "fish"})


def test_tags_are_required_in_schemas_that_frameworks_make() -> None:
    schema = {
        "$defs": {
            "Cat": {"type": "object", "properties": {"kind": {"enum": ["cat", "lion"], "default": "cat"}}},
            "Dog": {"type": "object", "properties": {"kind": {"const": "dog", "default": "dog"}}},
        },
        "type": "object",
        "properties": {
            "pet": {
                "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
                "discriminator": {"propertyName": "kind"},
            }
        },
    }
    definitions = xlc.JsonSchema.checked_elsewhere(close_schema(schema)).schema["$defs"]
    assert definitions["Cat"]["required"] == definitions["Dog"]["required"] == ["kind"]
    assert "required" not in schema["$defs"]["Cat"]  # type: ignore[index]


def test_items_of_small_sets_differ() -> None:
    small = conset(Literal["a", "b", "c"], min_length=1, max_length=2)
    assert accepts(small, ["c", "a"])
    assert not accepts(small, ["a", "a"])
    assert not accepts(small, [])
    assert accepts(set[str], ["a", "a"])  # the type makes a set of it


def test_unique_items_of_schema_are_enforced_where_values_are_listed() -> None:
    schema = {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 2}
    assert xlc.JsonSchema(schema).accepts("[3, 1]")
    assert not xlc.JsonSchema(schema).accepts("[1, 1]")
    with pytest.raises(xlc.ConstraintError, match="uniqueItems"):
        xlc.JsonSchema({"type": "array", "items": {"type": "string"}, "uniqueItems": True}).check()


@pytest.mark.parametrize(
    ("names", "good", "bad"),
    [
        ({"enum": ["a", "b"]}, {"b": 1}, {"c": 1}),
        ({"pattern": "^x"}, {"xy": 1}, {"y": 1}),
        ({"maxLength": 2}, {"ab": 1}, {"abc": 1}),
        ({"format": "date"}, {"2024-02-29": 1}, {"2023-02-29": 1}),
        ({"anyOf": [{"const": "a"}, {"pattern": "^b+$"}]}, {"bb": 1, "a": 2}, {"ab": 1}),
        ({"$ref": "#/$defs/name"}, {"q": 1}, {"r": 1}),
        (False, {}, {"a": 1}),
        (True, {"a": 1}, {"a": "x"}),
    ],
)
def test_names_of_properties(names: Any, good: Any, bad: Any) -> None:
    schema = {
        "type": "object",
        "propertyNames": names,
        "additionalProperties": {"type": "integer"},
        "$defs": {"name": {"const": "q"}},
    }
    assert xlc.JsonSchema(schema).accepts(json.dumps(good))
    assert not xlc.JsonSchema(schema).accepts(json.dumps(bad))


def test_names_of_named_properties() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {}}, "propertyNames": {"enum": ["a", "c"]}}
    assert xlc.JsonSchema(schema).accepts('{"a": 1, "c": "x"}')
    assert not xlc.JsonSchema(schema).accepts('{"b": 1}')
    assert not xlc.JsonSchema(schema).accepts('{"a": "x"}')


def test_number_of_listed_names() -> None:
    schema = {"type": "object", "propertyNames": {"enum": ["a", "b", "c"]}, "minProperties": 2, "maxProperties": 2}
    assert xlc.JsonSchema(schema).accepts('{"c": 1, "a": 1}')
    for text in ('{"a": 1}', '{"a": 1, "a": 2}', '{"a": 1, "b": 1, "c": 1}'):
        assert not xlc.JsonSchema(schema).accepts(text)


def test_only_generated_texts_are_narrow() -> None:
    """A leap second and an address without a top-level domain are valid, but Python's types do not take them."""
    for name, text in (("time", "23:59:60Z"), ("email", "a@b")):
        constraint = xlc.JsonSchema({"type": "string", "format": name})
        assert constraint.accepts(json.dumps(text))
        assert not xlc.Lark(constraint.grammar()[1]).accepts(json.dumps(text))


def test_formats_of_pydantic_may_stand_in_schemas() -> None:
    assert xlc.JsonSchema({"type": "string", "format": "ipv4network"}).accepts('"10.1.0.0/16"')
    assert not xlc.JsonSchema({"type": "string", "format": "ipv4network"}).accepts('"10.1.0.1/16"')


def test_names_of_fields_are_not_repeated_as_titles() -> None:
    class Person(BaseModel):
        full_name: str
        title: str = Field(title="Form of address")

    schema = xlc.JsonSchema(Person).schema
    assert schema["properties"] == {
        "full_name": {"type": "string"},
        "title": {"type": "string", "title": "Form of address"},
    }


def test_strict_requires_all_properties() -> None:
    class Inner(BaseModel):
        x: int = 1

    class Outer(BaseModel):
        inner: Inner = Inner()
        free: dict[str, int] = {}

    assert xlc.JsonSchema(Outer).accepts("{}")
    assert not xlc.JsonSchema(Outer, strict=True).accepts('{"inner": {}, "free": {}}')
    assert xlc.JsonSchema(Outer, strict=True).accepts('{"inner": {"x": 2}, "free": {"a": 1}}')


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Callable[[], int], "CallableSchema"),
        (type[int], "subclass of int"),
        (dict[tuple[int, int], int], "keys of JSON objects are texts"),
        (dict[Literal[1, 2], int], "keys of JSON objects are texts"),
        (Literal[b"x"], "can be written as JSON"),
    ],
)
def test_types_that_json_cannot_express_are_refused(kind: Any, reason: str) -> None:
    with pytest.raises(xlc.ConstraintError, match=reason):
        xlc.JsonSchema(kind)


@pytest.mark.parametrize(
    "kind",
    [
        Annotated[str, WithJsonSchema({"type": "string", "pattern": r"\bfoo\b"})],
        Annotated[list[str], WithJsonSchema({"type": "array", "contains": {"type": "string"}, "uniqueItems": True})],
        Annotated[dict[str, int], Field(min_length=2)],
        Annotated[str, Field(json_schema_extra={"format": "phone", "not": {"pattern": "x"}})],
        dict[constr(pattern="^a", max_length=3), int],
        conset(str, min_length=2),
    ],
)
def test_keywords_of_types_that_no_grammar_enforces_are_left_to_type(kind: Any) -> None:
    xlc.JsonSchema(kind).check()


def test_input_type_of_validator_is_generated() -> None:
    class Order(BaseModel):
        amount: Annotated[
            Decimal, BeforeValidator(lambda text: text.removesuffix(" kg"), json_schema_input_type=Literal["3 kg"])
        ]

    assert xlc.JsonSchema(Order).parse('{"amount": "3 kg"}').amount == 3
    assert accepts(Order, {"amount": "3 kg"})
    assert not accepts(Order, {"amount": 3})


def test_bounds_of_dates_are_enforced() -> None:
    kind = Annotated[dt.date, Field(ge=dt.date(2024, 2, 1), lt=dt.date(2024, 3, 1))]
    assert accepts(kind, "2024-02-29")
    assert not accepts(kind, "2024-03-01")
    assert not accepts(kind, "2024-01-31")


def test_extra_properties_have_their_type() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, Colour]
        known: int

    assert accepts(Open, {"known": 1, "other": "r"})
    assert not accepts(Open, {"known": 1, "other": "green"})
