"""Structured answers of every type, through both methods, are of that type: a tiny model writes noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from langchain_core.exceptions import OutputParserException
from pydantic import AfterValidator, BaseModel, TypeAdapter
from typing_extensions import TypedDict, is_typeddict

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.typed_answers import TYPES, Animal, Cat, Colour, Strict, Tree, types
from xlc_core.frameworks import to_json
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama

METHODS = ["json_schema", "function_calling"]
FEW = settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatXLlama]:
    path = write_byte_llama(tmp_path_factory.mktemp("models") / "noise.gguf")
    engine_options = {"n_parallel": 1, "warmup": False}
    with ChatXLlama(model=path, n_ctx=2048, engine_options=engine_options, max_tokens=250, temperature=2) as llm:
        yield llm


def check_answer(llm: ChatXLlama, kind: Any, method: Any, seed: int) -> None:
    """An answer is of its type, or was cut off because the type needs more tokens."""
    bound = llm.with_structured_output(kind, method=method, include_raw=True)
    result = bound.invoke("Hi", seed=seed)
    if result["parsing_error"] is not None:
        assert result["raw"].response_metadata["finish_reason"] == "length", result["parsing_error"]
    elif is_typeddict(kind):
        TypeAdapter(kind).validate_json(to_json(result["parsed"], "it"))
    else:
        TypeAdapter(kind).validate_python(result["parsed"])


@pytest.mark.parametrize("name", ["aliases", "strict", "discriminated", "recursive", "typed dict", "keys of enum"])
@pytest.mark.parametrize("method", METHODS)
def test_answer_is_of_type(noise: ChatXLlama, name: str, method: str) -> None:
    for seed in range(2):
        check_answer(noise, TYPES[name], method, seed)


@FEW
@given(kind=types())
@pytest.mark.parametrize("method", METHODS)
def test_answer_is_of_made_type(noise: ChatXLlama, kind: Any, method: str) -> None:
    check_answer(noise, kind, method, 1)


ANSWERS: list[tuple[Any, str, Any]] = [
    (Colour, '"r"', Colour.red),
    (list[int], "[1, 2]", [1, 2]),
    (Cat | None, '{"kind": "cat", "age": 3}', Cat(age=3)),
    (Animal, '{"kind": "wolf", "age": 3}', TypeAdapter(Animal).validate_python({"kind": "wolf", "age": 3})),
    (Tree, '{"value": 1, "parts": []}', Tree(value=1, parts=[])),
]


@pytest.mark.parametrize(("kind", "text", "expected"), ANSWERS)
@pytest.mark.parametrize("strict", [None, True])
def test_any_type_is_schema(kind: Any, text: str, expected: Any, strict: bool | None) -> None:
    engine = ScriptedEngine([text])
    assert ChatXLlama(engine=engine).with_structured_output(kind, strict=strict).invoke("Hi") == expected
    assert engine.requests[0].options.constraint.is_type


@pytest.mark.parametrize(("kind", "text", "expected"), ANSWERS)
def test_any_type_is_tool(kind: Any, text: str, expected: Any) -> None:
    is_object = text.startswith("{") and isinstance(kind, type)
    arguments = text if is_object else f'{{"value": {text}}}'
    name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__origin__") else "answer"
    call = xlc.ToolCall(id="1", name=name, arguments=arguments)
    choice = xlc.CompletionChoice(tool_calls=(call,), finish_reason="tool_calls")
    engine = ScriptedEngine([xlc.Completion((choice,), xlc.Usage())])
    llm = ChatXLlama(engine=engine).with_structured_output(kind, method="function_calling")
    assert llm.invoke("Hi") == expected
    (tool,) = engine.requests[0].options.tools
    assert tool.is_type
    assert tool.parse(arguments) == expected


def test_strict_model_reads_json() -> None:
    """A strict model takes a set only as a set in Python, but as an array in JSON."""
    text = (
        '{"numbers": [1], "pair": [1, true], "day": "2024-01-31", "by_number": {"1": 2}, '
        '"key": "7d8e5ea1-5a4b-4b1e-9a2e-0b2f8d7c6a5b", "colour": "b", "raw": "ab"}'
    )
    expected = Strict.model_validate_json(text)
    assert ChatXLlama(engine=ScriptedEngine([text])).with_structured_output(Strict).invoke("Hi") == expected
    call = xlc.ToolCall(id="1", name="Strict", arguments=text)
    choice = xlc.CompletionChoice(tool_calls=(call,), finish_reason="tool_calls")
    llm = ChatXLlama(engine=ScriptedEngine([xlc.Completion((choice,), xlc.Usage())]))
    assert llm.with_structured_output(Strict, method="function_calling").invoke("Hi") == expected


def test_stream_yields_instances_as_soon_as_they_are_valid() -> None:
    class Names(BaseModel):
        names: list[str]

    llm = ChatXLlama(engine=ScriptedEngine(['{"names": ["Ann", "Bob"]}']))
    grown = list(llm.with_structured_output(Names).stream("Hi"))
    assert grown[-1] == Names(names=["Ann", "Bob"])
    assert all(isinstance(one, Names) for one in grown)


def test_refused_answer_is_generated_again(engine: xlc.Engine) -> None:
    seen: list[int] = []

    def refuse_first(value: int) -> int:
        seen.append(value)
        if len(seen) == 1:
            raise ValueError("it must be odd")
        return value

    class Odd(BaseModel):
        number: Annotated[int, AfterValidator(refuse_first)]

    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=40)
    for method in ("json_schema", "function_calling"):
        seen.clear()
        assert isinstance(llm.with_structured_output(Odd, method=method).invoke("A number."), Odd)  # type: ignore[arg-type]
    seen.clear()
    with pytest.raises(OutputParserException, match="it must be odd"):
        llm.with_structured_output(Odd, validation_retries=0).invoke("A number.")


class ForLangChain(TypedDict):
    """A person."""

    name: Annotated[str, ..., "the name"]
    tags: Annotated[set[str], ..., "some tags"]


def test_typed_dict_of_langchain_may_have_hints() -> None:
    engine = ScriptedEngine(['{"name": "Ann", "tags": ["a"]}'])
    assert ChatXLlama(engine=engine).with_structured_output(ForLangChain).invoke("Hi")["tags"] == ["a"]
    constraint = engine.requests[0].options.constraint
    constraint.check()
    assert constraint.schema["properties"]["name"]["description"] == "the name"
