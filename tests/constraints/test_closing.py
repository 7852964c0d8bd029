"""Answers whose tokens run out: their constraint is closed instead of cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

import xlc_core as xlc
from helpers.generated_schemas import make_schema
from xlc_core import _native
from xlc_core.models import catalog


class Item(BaseModel):
    name: str
    price: float
    tags: list[str]


class Order(BaseModel):
    id: int
    items: list[Item]
    note: str | None = None


@pytest.fixture(scope="module")
def vocab() -> _native.VocabFile:
    return _native.VocabFile.open(str(catalog.resolve("smollm2-135m-instruct").path))


def ending(constraint: xlc.Constraint, text: str, vocab: _native.VocabFile, max_tokens: int = 256) -> str | None:
    constraint.check()
    found = _native.ending(*constraint.grammar(), text, vocab, max_tokens)
    return None if found is None else found.decode()


@pytest.mark.parametrize(
    ("constraint", "begun"),
    [
        (xlc.JsonSchema(Order), ""),
        (xlc.JsonSchema(Order), '{"id": 7, "items": [{"name": "a pen'),
        (xlc.JsonSchema(Order), '{"id": 7, "items": [{"name": "a pen", "price": 1.5, "tags": ["x", "y'),
        (xlc.JsonObject(), '{"a": {"b": [1, [2, {"c": "'),
        (xlc.JsonSchema({"type": "string", "minLength": 200}), '"Once'),
        (xlc.JsonSchema({"type": "string", "format": "email"}), ""),
        (xlc.JsonSchema({"type": "string", "format": "uuid"}), '"12345678-'),
        (xlc.JsonSchema({"type": "string", "format": "date-time"}), ""),
        (xlc.JsonSchema({"type": "string", "pattern": r"\d+\.\d+\.\d+"}), '"v'),
        # pydantic and JSON Schema search a pattern: any text may stand around it.
        (xlc.JsonSchema({"type": "string", "pattern": r"[A-Z]{2}-\d{4}"}), '"}2023-01-'),
        (xlc.JsonSchema({"type": "string", "pattern": r"^INV.*/\d{3}$"}), '"INV 7'),
        (xlc.JsonSchema({"type": "string", "pattern": r"say \"yes\" \\ (twice|once)"}), '"I '),
        (xlc.JsonSchema({"type": "string", "pattern": r"#[0-9a-f]{6}|rgb\(\d+\)"}), '"the '),
        (
            xlc.JsonSchema(
                {
                    "properties": {k: {"pattern": f"{k}=[A-F]{{3}}"} for k in "abc"},
                    "required": ["a", "b", "c"],
                    "type": "object",
                }
            ),
            '{"a": "',
        ),
        (xlc.Regex(r".*colou?r: [A-Z]{3}.*\d{2}"), "The "),
        (xlc.JsonSchema({"type": "string", "pattern": r"[^@]+@[^@]+\.[a-z]{2,}"}), '"the 12'),
        (xlc.JsonSchema({"type": "string", "pattern": r"https?://[^/]+/\w+"}), '"see http:'),
        (xlc.Regex(r"(\w+ )*therefore \d"), "The "),
        (xlc.Regex(r"[\s\S]*yes"), ""),
        (xlc.Regex(r".{10,}-\d{3}"), "The "),
        (xlc.Regex(r"[^;]+;end/[xyz]{2};"), "a;"),
        (xlc.JsonSchema({"type": "array", "items": {"enum": ["alpha", "beta"]}, "minItems": 9}), ""),
        (xlc.JsonSchema({"type": "integer", "minimum": 1000}), ""),
        (xlc.Regex(r"[A-Z][a-z ]{100,}\."), "Rivers "),
        (xlc.Regex(r"(\d{4}-\d{2}-\d{2}(, )?){3}"), "2024-0"),
        (xlc.Choice("yes, of course", "no, never"), "no"),
        (xlc.Lark('start: (LINE "\\n")+\nLINE: /[a-z]+: [0-9]+/'), "a: 1\nb"),
        (xlc.Gbnf('root ::= "{" [a-z ]+ "}" "\\n"'), "{abc"),
        # Such a text may have the names of control tokens in it, which end nothing there.
        (xlc.Gbnf(r'root ::= "\"" [^"]* "\""'), '"Once'),
        (xlc.Gbnf('root ::= "[" (text ", ")* text "]"\n' r'text ::= "\"" ([^"\\] | "\\" ["n])* "\""'), ""),
        (xlc.Gbnf(r'root ::= ("- " [^\n]+ "\n"){2}'), "- a < b"),
        (xlc.Gbnf('root ::= "<p>" [^<]* "</p>"'), "<p>Ann"),
        (xlc.Gbnf(r'root ::= [^\]]* "]"'), "a"),
    ],
)
def test_every_prefix_has_an_ending(constraint: xlc.Constraint, begun: str, vocab: _native.VocabFile) -> None:
    found = ending(constraint, begun, vocab)
    assert found is not None
    assert constraint.accepts(begun + found), begun + found


def test_ending_is_short(vocab: _native.VocabFile) -> None:
    assert ending(xlc.JsonObject(), '{"a": [1, {"b": "text', vocab) == '"}]}'
    assert ending(xlc.JsonSchema(Order), '{"id": 7, "items": [', vocab) == "]}"
    codes = xlc.JsonSchema({"type": "array", "items": {"type": "string", "pattern": "id=7"}, "minItems": 3})
    assert ending(codes, "[", vocab) == '"id=7", "id=7", "id=7"]'


def test_search_that_finds_nothing_is_short(vocab: _native.VocabFile) -> None:
    """Every token of a request may begin one: it is a wait of minutes otherwise."""
    endless = xlc.Gbnf('root ::= "\\"" part part part part part part "\\""\npart ::= [^"]{1000}')
    assert ending(endless, "", vocab, 2048) is None


def test_too_long_ending_is_not_returned(vocab: _native.VocabFile) -> None:
    assert ending(xlc.JsonObject(), '{"a": [1, {"b": "text', vocab, max_tokens=3) is None


@pytest.mark.parametrize("seed", range(40))
def test_generated_schemas_have_endings(seed: int, vocab: _native.VocabFile) -> None:
    constraint = xlc.JsonSchema(make_schema(seed))
    found = ending(constraint, "", vocab, 1024)
    assert found is not None
    assert constraint.accepts(found), found


@pytest.mark.parametrize("max_tokens", [40, 47, 55, 63, 72, 90])
def test_closed_answer_parses(engine: xlc.Engine, max_tokens: int) -> None:
    answer = engine.chat(
        "Write a long order with many items as JSON.", constraint=Order, max_tokens=max_tokens, temperature=1.0,
        seed=max_tokens,
    )  # fmt: skip
    assert isinstance(answer.parsed, Order)
    assert answer.usage.completion_tokens <= max_tokens


def test_closed_answer_has_finish_reason_length(engine: xlc.Engine) -> None:
    options: dict[str, Any] = {
        "constraint": xlc.Regex(r"[A-Za-z ]+\."),
        "logit_bias": {".": -50.0},
        "temperature": 0,
        "max_tokens": 24,
    }
    cut = engine.chat("Tell a long story about a fox.", close_constraint=False, **options)
    assert cut.finish_reason == "length"
    assert not cut.text.endswith(".")
    closed = engine.chat("Tell a long story about a fox.", **options)
    assert closed.finish_reason == "length"
    assert closed.text.endswith(".")
    assert cut.text.startswith(closed.text[:-1])  # up to its end it is what the model would have said


LONG_WAY = "yes" + ", and then the next one" * 40
LONG_CALL = {
    "type": "object",
    "properties": {"kind": {"const": "long"}} | {f"property_{i}": {"type": "integer"} for i in range(60)},
    "required": ["kind", *(f"property_{i}" for i in range(60))],
    "additionalProperties": False,
}
SHORT_CALL = {
    "type": "object", "properties": {"kind": {"const": "short"}}, "required": ["kind"], "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(("max_tokens", "expected"), [(100, "no"), (400, LONG_WAY)])
def test_alternative_that_cannot_be_finished_is_not_begun(
    engine: xlc.Engine, max_tokens: int, expected: str, temperature: float
) -> None:
    answer = engine.chat(
        "Which way?", constraint=xlc.Choice("no", LONG_WAY), logit_bias={"yes": 60.0, "y": 60.0, "ye": 60.0},
        max_tokens=max_tokens, temperature=temperature,
    )  # fmt: skip
    assert answer.text == expected


@pytest.mark.parametrize("max_tokens", [60, 200])
def test_object_that_cannot_be_finished_is_not_begun(engine: xlc.Engine, max_tokens: int) -> None:
    constraint = xlc.JsonSchema({"anyOf": [SHORT_CALL, LONG_CALL]})
    answer = engine.chat("Long?", constraint=constraint, logit_bias={"long": 60.0}, max_tokens=max_tokens)
    assert json.loads(answer.text) == {"kind": "short"}


def n_searched(engine: xlc.Engine, schema: dict[str, Any]) -> tuple[int, int]:
    """Return the searches of endings, and the tokens of an answer."""
    before = _native.n_searched_endings()
    answer = engine.chat(
        "Write long texts.", constraint=xlc.JsonSchema(schema), max_tokens=400, temperature=1.0, seed=3,
        logit_bias={'"': -3.0},
    )  # fmt: skip
    return _native.n_searched_endings() - before, answer.usage.completion_tokens


def test_few_endings_are_searched(engine: xlc.Engine) -> None:
    n_in_text, n_tokens = n_searched(engine, {"type": "string", "minLength": 600})
    assert n_tokens > 100
    assert n_in_text <= n_tokens / 8 + 20  # the looks now and then
    fields = [f"field_{i}" for i in range(8)]
    n_between, n_tokens = n_searched(engine, {"type": "object", "properties": {}, "required": fields})
    assert n_tokens > 50  # the values may be short
    assert n_between <= n_tokens / 2 + 20


def test_full_context_closes_answer() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=1) as engine:
        answer = engine.chat(
            "Write a very long order with many items as JSON.", constraint=Order, temperature=1.0, seed=2,
            logit_bias={"]": -100.0, "}": -2.0},
        )  # fmt: skip
    assert isinstance(answer.parsed, Order)


def test_streams_and_several_answers_close(engine: xlc.Engine) -> None:
    answer = engine.chat("Write an order as JSON.", constraint=Order, max_tokens=45, n=3, temperature=1.2, seed=5)
    for choice in answer.choices:
        assert isinstance(choice.parsed, Order)
    with engine.stream_chat("Write an order as JSON.", constraint=Order, max_tokens=45, temperature=1.2) as stream:
        assert isinstance(stream.result().parsed, Order)


@pytest.mark.parametrize("max_tokens", [30, 34, 40])
def test_tool_call_is_closed(engine: xlc.Engine, max_tokens: int) -> None:
    note = {
        "type": "function",
        "function": {
            "name": "note",
            "description": "Take a note.",
            "parameters": {"type": "object", "properties": {"body": {"type": "string"}}, "required": ["body"]},
        },
    }
    answer = engine.chat(
        "Note a very long text about rivers.", tools=[note], tool_choice="note", max_tokens=max_tokens, temperature=0,
        seed=1,
    )  # fmt: skip
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens <= max_tokens
    (call,) = answer.tool_calls
    assert json.loads(call.arguments)["body"]
