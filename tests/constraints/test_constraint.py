"""Constraints as plain data: what they take, refuse, and make of an answer."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.conversion import to_constraint
from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.text_constraints import Choice, Gbnf, Lark, Regex
from xlc_core.errors import ConstraintError, InvalidRequestError


class Person(BaseModel):
    name: str
    age: int


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Label(TypedDict):
    label: Literal["a", "b"]


def embedded_schema(constraint: Constraint) -> dict[str, Any]:
    _, text = constraint.grammar()
    schema: dict[str, Any] = json.loads(text[text.index("%json ") + 6 :])
    return schema


@pytest.mark.parametrize(
    ("schema", "answer", "value"),
    [
        (Person, '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
        (Point, '{"x": 1, "y": 2.5}', Point(1.0, 2.5)),
        (Label, '{"label": "a"}', {"label": "a"}),
        (list[int], "[1, 2]", [1, 2]),
        (TypeAdapter(Person), '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
        ({"type": "integer"}, "7", 7),
        ('{"type": "integer"}', "7", 7),
    ],
)
def test_schema_parses_answer_into_its_type(schema: Any, answer: str, value: Any) -> None:
    constraint = JsonSchema(schema)
    assert constraint.kind == "json_schema"
    assert constraint.parse(answer) == value


def test_grammar_reaches_its_engine() -> None:
    for constraint in (
        JsonSchema(Person),
        JsonObject(),
        Regex("a"),
        Choice("a"),
        Lark('start: "a"'),
    ):
        for kind, text in (constraint.grammar(), constraint.checking_grammar()):
            assert kind == "lark"
            assert text.startswith("%llguidance {}")
    assert Gbnf('root ::= "a"').grammar() == ("gbnf", 'root ::= "a"')


def test_generated_json_is_compact_unless_schema_overrides() -> None:
    assert embedded_schema(JsonSchema({"type": "object"}))["x-guidance"]["whitespace_flexible"] is False
    own = JsonSchema({"type": "object", "x-guidance": {"whitespace_flexible": True}})
    assert embedded_schema(own)["x-guidance"]["whitespace_flexible"] is True
    assert "x-guidance" not in JsonSchema({"type": "object"}).schema


def test_type_schema_is_closed_and_drops_hint_formats() -> None:
    class Login(BaseModel):
        password: SecretStr
        format: str = Field("plain", examples=[{"format": "password"}])

    schema = JsonSchema(Login).schema
    assert schema["additionalProperties"] is False
    assert "format" not in schema["properties"]["password"]
    assert "format" in schema["properties"]
    assert schema["properties"]["format"]["examples"] == [{"format": "password"}]
    assert "additionalProperties" not in JsonSchema({"type": "object", "properties": {"a": {}}}).schema


def test_parse_checks_discriminated_union() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    constraint = JsonSchema(TypeAdapter(Annotated[Cat | Dog, Field(discriminator="kind")]))
    assert embedded_schema(constraint)["x-guidance"]["coerce_one_of"] is True
    assert constraint.parse('{"kind": "dog"}') == Dog(kind="dog")


@pytest.mark.parametrize("constraint", [JsonSchema({}), JsonSchema(Person), JsonObject(), Choice("a")])
def test_cut_answer_raises_value_error(constraint: Constraint) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  pydantic's, json's and ours
        constraint.parse('{"name": "A')


def test_validation_error_is_pydantics() -> None:
    with pytest.raises(ValidationError, match="age"):
        JsonSchema(Person).parse('{"name": "Ada", "age": "old"}')


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


CYCLE: dict[str, Any] = {}
CYCLE["items"] = CYCLE


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: JsonSchema("{"), "not JSON: Expecting"),
        (lambda: JsonSchema("[]"), "is an object, got"),
        (lambda: JsonSchema("[" * 100_000), "nested more than 64"),
        (lambda: JsonSchema(nested(70)), "nested more than 64"),
        (lambda: JsonSchema(nested(100_000)), "nested more than 64"),
        (lambda: JsonSchema(CYCLE), "not JSON: Circular"),
        (lambda: JsonSchema({"const": object()}), "not JSON"),
        (lambda: JsonSchema({"const": float("nan")}), "not JSON"),
        (lambda: JsonSchema({"const": "x" * (1 << 20)}), "at most 1048576"),
        (lambda: JsonSchema(Callable[[], int]), "does not have a JSON schema"),
        (lambda: JsonSchema(3), "a dict, a JSON text or a type"),
        (lambda: Regex(""), "is empty"),
        (lambda: Regex("ab\\"), "incomplete escape"),
        (lambda: Regex("\ud800"), "surrogate"),
        (lambda: Choice(), "at least one"),
        (lambda: Choice("a", "b", "a"), "'a' more than once"),
        (lambda: Choice("a", ""), "empty"),
        (lambda: Choice(["a"]), r"Choice\(\*values\)"),  # type: ignore[arg-type]
        (lambda: Lark(""), "is empty"),
        (lambda: Lark('start: "a"', "end"), "a tuple of texts, got 'end'"),  # type: ignore[arg-type]
        (lambda: Lark('start: "a"', ("",)), "text_ends must be a tuple of texts"),
        (lambda: Lark("start: " + "(" * 70 + '"a"' + ")" * 70), "nested more than 64"),
        (lambda: Lark('start: "a\0"'), "NUL"),
        (lambda: Gbnf('root ::= "a\0"'), "NUL"),
        (lambda: to_constraint("a|b"), r"JsonSchema\(text\), Regex\(text\)"),
        (lambda: to_constraint(re.compile(b"a")), "bytes"),
        (lambda: to_constraint(re.compile("a", re.ASCII)), "ASCII"),
    ],
)
def test_malformed_constraint_is_refused_at_once(make: Any, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        make()


def test_to_constraint_accepts_all_forms() -> None:
    regex = Regex("a")
    assert to_constraint(regex) is regex
    assert to_constraint({"type": "null"}) == JsonSchema({"type": "null"})
    assert to_constraint(Person).parse('{"name": "Ada", "age": 1}') == Person(name="Ada", age=1)
    assert to_constraint(["yes", "no"]) == Choice("yes", "no")
    assert to_constraint(re.compile("a", re.I | re.S)) == Regex("(?is)a")


def test_constraints_are_values() -> None:
    assert JsonSchema({"a": 1}) == JsonSchema('{"a": 1}')
    assert len({JsonSchema(Person), JsonSchema(Person), Choice("a"), Choice("a")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Choice("a").choices = ()  # type: ignore[misc]
    schema = {"enum": [1]}
    constraint = JsonSchema(schema)
    schema["enum"].append(2)
    assert constraint.schema == {"enum": [1]}


def test_thinking_renames_only_the_start_rule() -> None:
    lark = '// start\nstart: "start" restart /start/ <start>\nrestart: start?'
    text = with_thinking(lark, None, ["</think>"])
    assert '// start\nxlc_answer: "start" restart /start/ <start>\nrestart: xlc_answer?' in text
    assert text.startswith("%llguidance {}")
    with pytest.raises(ValueError, match="end tag"):
        with_thinking(lark, None, [])


def test_thinking_has_no_texts_that_begin_something_else() -> None:
    for tag in (None, "<think>"):
        text = with_thinking('start: "yes"', tag, ["</think>"], without=["<call>", "a{2}"])
        constraint = Lark(text.removeprefix("%llguidance {}"))
        begin = tag or ""
        assert constraint.accepts(f"{begin}well <cal a {{2}}</think>yes")
        assert not constraint.accepts(f"{begin}well <call> </think>yes")
        assert not constraint.accepts(f"{begin}well a{{2}}</think>yes")


@pytest.mark.parametrize(
    "constraint", [Choice("a"), Regex("a"), JsonSchema({"type": "integer"}), JsonObject()], ids=lambda one: one.kind
)
@pytest.mark.parametrize("text", [5, b"a", None, "\ud800"], ids=["number", "bytes", "None", "surrogate"])
def test_what_is_not_a_text_is_refused(constraint: Constraint, text: Any) -> None:
    for check in (constraint.accepts, constraint.explain):
        with pytest.raises(InvalidRequestError, match="the text"):
            check(text)
