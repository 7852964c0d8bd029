"""Calls in the formats of all chat templates that llama.cpp ships: arguments satisfy their tool's whole schema.

The models have random weights, so a call is right only because nothing else is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

_TEMPLATES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models" / "templates"
_OTHERS = {
    "CohereForAI-c4ai-command-r-plus-tool_use",  # its template cannot show these tools
    "google-translategemma-4b-it",  # does not chat
    "ibm-granite-granite-3.3-2B-Instruct",  # llama.cpp does not know its calls
}
_DEEPSEEK = {  # their marks have a character that a SentencePiece vocabulary takes for a space
    "llama-cpp-deepseek-r1",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
}
NAMES = sorted({path.stem for path in _TEMPLATES.glob("*.jinja")} - _OTHERS - _DEEPSEEK)

BOOK: dict[str, Any] = {
    "type": "object",
    "$defs": {"Kind": {"enum": ["single", "double"]}},
    "properties": {
        "code": {"type": "string", "pattern": r"^[A-Z]{2}\d{3}$"},
        "nights": {"type": "integer", "minimum": 3, "maximum": 9},
        "price": {"type": "number", "multipleOf": 5, "exclusiveMinimum": 10, "maximum": 90},
        "kind": {"type": "string", "$ref": "#/$defs/Kind"},
        "note": {"type": "string", "minLength": 2, "maxLength": 6},
        "flag": {"type": "boolean"},
        "guests": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"age": {"type": "integer", "minimum": 18, "maximum": 20}},
                "required": ["age"],
            },
        },
    },
    "required": ["code", "nights", "price", "kind", "guests"],
}
STAY: dict[str, Any] = {
    "type": "object",
    "$defs": {"Kind": {"enum": ["tent", "hut"]}},
    "properties": {"kind": {"type": "string", "$ref": "#/$defs/Kind"}},
    "required": ["kind"],
}
SCHEMAS = {"book-room": BOOK, "book_room": STAY, "予約": STAY}
OPTIONS: dict[str, Any] = {"thinking_budget": 4, "temperature": 1.0, "seed": 1, "max_tokens": 1000}
TOOLS = [xlc.Tool(name=name, description="Books.", parameters=schema) for name, schema in SCHEMAS.items()]


TEXT = {"type": "string", "maxLength": 5}
INT = {"type": "integer"}


def _tagged(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    properties = {"kind": {"const": kind, "type": "string"}, "value": value}
    return {"type": "object", "properties": properties, "required": ["kind", "value"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    return write_byte_llama(folder / "bytes.gguf", n_ctx=8192, space_prefix=False)


@pytest.fixture
def engine(model: Path, name: str) -> Iterator[xlc.Engine]:
    template = (_TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    with xlc.Engine(model, n_ctx=8192, n_parallel=1, n_threads=1, chat_template=template) as engine:
        yield engine


def assert_fit(answer: xlc.Completion) -> None:
    for call in answer.tool_calls:
        jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])


@pytest.mark.parametrize("name", NAMES)
def test_required_calls_fit_their_schemas(engine: xlc.Engine) -> None:
    for choice in ("book-room", "予約"):
        answer = engine.chat("Book.", tools=TOOLS, tool_choice=choice, **OPTIONS)
        assert [call.name for call in answer.tool_calls] == [choice]
        assert_fit(answer)
    # Tokens run out in some of these templates' calls. They are closed then.
    several = {**OPTIONS, "max_tokens": 400, "seed": 2, "parallel_tool_calls": True}
    answer = engine.chat("Book.", tools=TOOLS, tool_choice="required", **several)
    assert answer.tool_calls
    assert_fit(answer)


@pytest.mark.parametrize("name", ["google-gemma-4-31B-it"])
@pytest.mark.parametrize(
    "value",
    [
        {"type": "array", "prefixItems": [TEXT, INT], "items": False, "minItems": 2},
        {"type": "array", "prefixItems": [TEXT, INT, TEXT], "minItems": 1, "maxItems": 2},
        {"type": "array", "prefixItems": [TEXT], "items": INT, "minItems": 3, "maxItems": 4},
        {"type": "array", "prefixItems": [TEXT, INT], "items": False},
        {"type": "array", "items": INT, "minItems": 2, "maxItems": 3},
        {"type": "array", "items": TEXT, "maxItems": 1},
        {"type": "array", "items": False},
        {"type": "array", "maxItems": 0},
        {"anyOf": [{"not": {}}, TEXT]},
        {"oneOf": [_tagged("cat", TEXT), _tagged("dog", INT)]},
    ],
)
def test_values_between_braces(engine: xlc.Engine, value: dict[str, Any]) -> None:
    """Gemma's calls have objects and lists of their own."""
    schema = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    tool = xlc.Tool(name="keep", description="Keeps.", parameters=schema)
    for seed in range(3):
        answer = engine.chat("Keep.", tools=[tool], tool_choice="keep", **{**OPTIONS, "seed": seed})
        (call,) = answer.tool_calls
        jsonschema.Draft202012Validator(schema).validate(json.loads(call.arguments))


@pytest.mark.parametrize("name", ["llama-cpp-deepseek-r1", "deepseek-ai-DeepSeek-V3.1"])  # the others are like these
def test_marks_with_a_special_space(name: str) -> None:
    template = (_TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    options = {**OPTIONS, "max_tokens": 300, "tool_choice": "required", "parallel_tool_calls": False}
    with xlc.Engine("smollm2-135m-instruct", n_ctx=2048, n_parallel=1, chat_template=template) as engine:
        answer = engine.chat("Book a room.", tools=TOOLS, **options)
    assert len(answer.tool_calls) == 1
    assert_fit(answer)


@pytest.mark.parametrize(
    "name",
    [
        *("ByteDance-Seed-OSS", "GLM-4.6", "MiniMax-M2", "Qwen3-Coder", "deepseek-ai-DeepSeek-V3.2"),
        "google-gemma-4-31B-it",
    ],
)
def test_plain_texts_are_closed(engine: xlc.Engine) -> None:
    """These templates write texts between tags. A text does not hold the tag that ends it."""
    schema = {"type": "object", "properties": {"subject": {"type": "string"}, "body": {"type": "string"}}}
    tool = xlc.Tool(name="send", description="Sends.", parameters={**schema, "required": ["subject"]})
    for seed in range(3):
        options = {**OPTIONS, "max_tokens": 260, "seed": seed, "parallel_tool_calls": False}
        answer = engine.chat("Send.", tools=[tool], tool_choice="required", **options)
        (call,) = answer.tool_calls
        assert json.loads(call.arguments).keys() <= {"subject", "body"}


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("Cohere2MoE", "<|START_ACTION|>"),
        ("Kimi-K2-Thinking", "<|tool_call_begin|>"),
        ("Qwen3.5-4B", "<tool_call>"),
        ("deepseek-ai-DeepSeek-V3.2", "<｜DSML｜function_calls>"),
    ],
)
def test_call_that_interrupts_the_thinking_fits_its_schema(tmp_path: Path, name: str, opening: str) -> None:
    """The parsers of these templates read a call where the thinking is not closed, so the grammar begins there."""
    model = write_byte_llama(tmp_path / "bytes.gguf", n_ctx=8192, space_prefix=False, words=(opening,))
    template = (_TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    with xlc.Engine(model, n_ctx=8192, n_parallel=1, n_threads=1, chat_template=template) as engine:
        (token,) = engine.tokenize(opening, parse_special=True)
        for choice, budget in (("auto", None), ("required", 4)):
            options = {**OPTIONS, "thinking_budget": budget, "logit_bias": {token: 100.0}, "tool_choice": choice}
            answer = engine.chat("Book.", tools=TOOLS, thinking=True, parallel_tool_calls=False, **options)
            assert len(answer.tool_calls) == 1
            assert_fit(answer)
