"""Structured answers and tools with types whose formats no grammar enforces, such as paths and secrets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from pydantic import BaseModel, TypeAdapter, create_model
from typing_extensions import NotRequired, TypedDict

from helpers.hint_types import EXAMPLES, HINT_TYPES, ONLY_REFUSED_AFTERWARDS
from helpers.langchain_scripts import completion
from xlc_core import Constraint, JsonSchema, ToolCall
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama
from xlc_langchain.tools import response_constraint, schema_constraint, to_engine_tools, to_openai_tool

if TYPE_CHECKING:
    from xlc_core import Engine

EVERY_TYPE = {**HINT_TYPES, **ONLY_REFUSED_AFTERWARDS}


def as_model(kind: Any) -> Any:
    return create_model("Answer", value=(kind, ...))


def as_typed_dict(kind: Any) -> Any:
    return TypedDict("Answer", {"value": kind})


def as_dataclass(kind: Any) -> Any:
    return dataclasses.make_dataclass("Answer", [("value", kind)])


FORMS = [as_model, as_typed_dict, as_dataclass]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EVERY_TYPE)
def test_constraint_compiles_and_takes_values(name: str, form: Any) -> None:
    answer = json.dumps({"value": EXAMPLES[name]})
    schema = form(EVERY_TYPE[name])
    engine = ScriptedEngine([answer])
    result = ChatXLlama(engine=engine).with_structured_output(schema).invoke("Hi")
    constraint = engine.requests[-1].options.constraint
    constraint.check()
    assert constraint.accepts(answer)
    assert not constraint.accepts('{"value": 1}')
    assert isinstance(result, dict if form is as_typed_dict else schema)
    parsed = TypeAdapter(schema).validate_python(result) if form is as_typed_dict else result
    assert parsed == TypeAdapter(schema).validate_json(answer)


def test_model_answer_has_types(engine: Engine) -> None:
    schema = create_model("Answer", path=HINT_TYPES["Path"], key=HINT_TYPES["UUID4"])  # type: ignore[call-overload]
    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=60)
    assert isinstance(llm.with_structured_output(schema).invoke("Give an example."), schema)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EVERY_TYPE)
def test_tool_may_have_such_arguments(name: str, form: Any) -> None:
    answer = {"value": EXAMPLES[name]}
    call = ToolCall(id="1", name="Answer", arguments=json.dumps(answer))
    llm = ChatXLlama(engine=ScriptedEngine([completion(calls=[call])]))
    result = llm.with_structured_output(form(EVERY_TYPE[name]), method="function_calling").invoke("Hi")
    assert result == answer if form is as_typed_dict else type(result).__name__ == "Answer"


def test_model_tool_call_has_types(engine: Engine) -> None:
    schema = as_model(HINT_TYPES["UUID4"])
    llm = ChatXLlama(engine=engine, temperature=0, max_tokens=70)
    bound = llm.with_structured_output(schema, method="function_calling", strict=True)
    assert isinstance(bound.invoke("Give an example."), schema)


@pytest.mark.parametrize("strict", [None, True])
@pytest.mark.parametrize("name", EVERY_TYPE)
def test_agent_response_format_compiles(name: str, strict: bool | None) -> None:
    answer = json.dumps({"value": EXAMPLES[name]})
    for form in FORMS:
        schema = form(EVERY_TYPE[name])
        engine = ScriptedEngine([answer])
        agent = create_agent(ChatXLlama(engine=engine), [], response_format=ProviderStrategy(schema, strict=strict))
        result = agent.invoke({"messages": [("user", "Hi")]})["structured_response"]
        engine.requests[-1].options.constraint.check()
        assert result == TypeAdapter(schema).validate_json(answer)


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_strict_schemas_compile(name: str) -> None:
    constraint = schema_constraint(as_model(EVERY_TYPE[name]), strict=True)
    assert constraint is not None
    constraint.check()
    assert constraint.accepts(json.dumps({"value": EXAMPLES[name]}))


class Inner(TypedDict):
    size: Path


class Optional(TypedDict):
    inner: Inner
    note: NotRequired[str]


def test_keys_of_typed_dict_may_be_left_out() -> None:
    constraint = schema_constraint(Optional)
    assert constraint is not None
    assert constraint.accepts('{"inner": {"size": "a"}}')
    assert not constraint.accepts('{"note": "a"}')
    (tool,) = to_engine_tools([Optional])
    assert (tool.name, tool.parameters["required"]) == ("Optional", ["inner"])


def test_class_own_descriptions_reach_constraint() -> None:
    class Sized(BaseModel):
        """A thing with a size."""

        format: str = "a"
        default: Path

    constraint = schema_constraint(Sized)
    assert isinstance(constraint, JsonSchema)
    assert constraint.schema["description"] == "A thing with a size."
    assert constraint.schema["properties"]["default"] == {"type": "string"}
    constraint.check()


def test_constraint_is_response_format_too() -> None:
    wanted = JsonSchema({"type": "integer"})
    assert response_constraint(wanted) is wanted
    assert isinstance(response_constraint(as_dataclass(int)), Constraint)


def test_tool_that_is_bound_already_stays_as_it_is() -> None:
    bound = to_openai_tool(as_model(int))
    assert to_openai_tool(bound) is bound
