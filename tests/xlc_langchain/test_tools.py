"""bind_tools and with_structured_output: what the engine is asked, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from helpers.langchain_scripts import WEATHER_CALL, completion
from xlc_core import JsonObject, JsonSchema, Tool, ToolCall
from xlc_core.options.sampling import ChatOptions
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama
from xlc_langchain.errors import InvalidRequestError


@tool
def get_weather(city: str) -> str:
    """Say how the weather is."""
    return f"rain in {city}"


@tool
def get_time() -> str:
    """Say how late it is."""
    return "noon"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int = Field(description="in years")


class PersonDict(TypedDict):
    """Somebody."""

    name: str
    age: int


ANN = '{"name": "Ann", "age": 7}'


def chat(*replies: Any) -> tuple[ChatXLlama, ScriptedEngine]:
    engine = ScriptedEngine(replies)
    return ChatXLlama(engine=engine), engine


def asked(engine: ScriptedEngine) -> ChatOptions:
    options = engine.requests[-1].options
    assert isinstance(options, ChatOptions)
    return options


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, "auto"),
        (False, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("get_time", "get_time"),
        ({"type": "function", "function": {"name": "get_time"}}, "get_time"),
        ({"type": "tool", "name": "get_time"}, "get_time"),
        ({"type": "any"}, "required"),
    ],
)
def test_every_form_of_tool_choice(choice: Any, expected: str) -> None:
    llm, engine = chat("ok")
    llm.bind_tools([get_weather, get_time], tool_choice=choice).invoke("Hi")
    assert asked(engine).tool_choice == expected
    assert [wanted.name for wanted in asked(engine).tools] == ["get_weather", "get_time"]


def test_tool_that_is_not_there_cannot_be_chosen() -> None:
    llm, _ = chat("ok")
    with pytest.raises(InvalidRequestError, match="get_rain"):
        llm.bind_tools([get_weather], tool_choice="get_rain")


def test_tool_of_provider_is_refused() -> None:
    llm, _ = chat("ok")
    with pytest.raises(InvalidRequestError, match="web_search"):
        llm.bind_tools([{"type": "web_search"}]).invoke("Hi")


def test_tools_of_every_kind() -> None:
    llm, engine = chat("ok")
    plain = {"name": "add", "description": "Add.", "parameters": {"type": "object"}}
    llm.bind_tools([get_weather, Person, plain], parallel_tool_calls=False).invoke("Hi")
    weather, person, add = asked(engine).tools
    assert (weather.name, weather.description) == ("get_weather", "Say how the weather is.")
    assert weather.parameters == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    assert person.parameters["required"] == ["name", "age"]
    assert add.parameters == {"type": "object"}
    assert asked(engine).parallel_tool_calls is False


def test_strict_tools_allow_no_other_arguments() -> None:
    llm, engine = chat("ok")
    llm.bind_tools([get_weather], strict=True).invoke("Hi")
    assert asked(engine).tools[0].parameters["additionalProperties"] is False


@pytest.mark.parametrize("schema", [Person, PersonDict, Person.model_json_schema()])
@pytest.mark.parametrize("strict", [None, False, True])
def test_json_schema(schema: Any, strict: bool | None) -> None:
    llm, engine = chat(ANN)
    answer = llm.with_structured_output(schema, strict=strict).invoke("Who?")
    assert answer == (Person(name="Ann", age=7) if schema is Person else {"name": "Ann", "age": 7})
    constraint = asked(engine).constraint
    assert isinstance(constraint, JsonSchema)
    assert list(constraint.schema["properties"]) == ["name", "age"]
    assert constraint.schema.get("additionalProperties") is (None if isinstance(schema, dict) and not strict else False)


class Team(BaseModel):
    """Some people, and what else is known of them."""

    people: list[Person]
    lead: Person | None = None
    notes: dict[str, int] = {}


class Open(BaseModel, extra="allow"):
    """Takes what comes."""


def test_nothing_is_invented_beside_class_fields() -> None:
    llm, engine = chat('{"people": []}')
    llm.with_structured_output(Team).invoke("Who?")
    schema = asked(engine).constraint.schema
    assert schema["additionalProperties"] is schema["$defs"]["Person"]["additionalProperties"] is False
    assert schema["properties"]["notes"]["additionalProperties"] == {"type": "integer"}
    llm.with_structured_output(Open).invoke("Who?")
    assert asked(engine).constraint.schema["additionalProperties"] is True


async def test_function_calling() -> None:
    llm, engine = chat(completion(calls=[ToolCall(id="1", name="Person", arguments=ANN)]))
    structured = llm.with_structured_output(Person, method="function_calling")
    assert structured.invoke("Who?") == await structured.ainvoke("Who?") == Person(name="Ann", age=7)
    assert asked(engine).tool_choice == "required"
    assert asked(engine).parallel_tool_calls is False


@pytest.mark.parametrize("schema", [Person, PersonDict])
@pytest.mark.parametrize("calls", [[], [ToolCall(id="1", name="Person", arguments='{"name": "A')]])
def test_incomplete_call_is_error(schema: Any, calls: list[ToolCall]) -> None:
    llm, _ = chat(completion(calls=calls, finish="length"))
    with pytest.raises(OutputParserException, match="raise max_tokens"):
        llm.with_structured_output(schema, method="function_calling").invoke("Who?")
    answer = llm.with_structured_output(schema, method="function_calling", include_raw=True).invoke("Who?")
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)


def test_json_mode_needs_no_schema() -> None:
    llm, engine = chat(ANN)
    structured = llm.with_structured_output(method="json_mode")
    assert structured.invoke("Who?") == {"name": "Ann", "age": 7}
    assert isinstance(asked(engine).constraint, JsonObject)
    with pytest.raises(InvalidRequestError, match="needs a schema"):
        llm.with_structured_output()
    with pytest.raises(InvalidRequestError, match="method must be json_schema, function_calling or json_mode"):
        llm.with_structured_output(Person, method="json")


def test_json_mode_with_schema_holds_to_it() -> None:
    llm, engine = chat(ANN)
    assert llm.with_structured_output(Person, method="json_mode").invoke("Who?") == Person(name="Ann", age=7)
    assert isinstance(asked(engine).constraint, JsonSchema)


def test_schema_can_be_shown_in_prompt() -> None:
    llm, engine = chat(ANN)
    structured = llm.with_structured_output(Person, show_schema=True)
    wanted = f"Answer with a JSON object that matches this JSON schema:\n{json.dumps(JsonSchema(Person).schema)}"
    structured.invoke([SystemMessage("Be brief."), HumanMessage("Who?")])
    assert [(message.role, message.content) for message in engine.requests[-1].messages] == [
        ("system", f"Be brief.\n\n{wanted}"),
        ("user", "Who?"),
    ]
    structured.invoke("Who?")
    assert [message.content for message in engine.requests[-1].messages] == [wanted, "Who?"]


def test_answer_that_was_cut_off_is_not_completed() -> None:
    llm, _ = chat(completion('{"name": "Ann", "ag', finish="length"))
    for schema in (Person, PersonDict):
        with pytest.raises(OutputParserException, match="raise max_tokens"):
            llm.with_structured_output(schema).invoke("Who?")


def test_include_raw_contains_error() -> None:
    llm, _ = chat(ANN, "no JSON")
    structured = llm.with_structured_output(Person, include_raw=True)
    fine, wrong = structured.invoke("Who?"), structured.invoke("Who?")
    assert fine["parsed"] == Person(name="Ann", age=7)
    assert fine["parsing_error"] is None
    assert wrong["raw"].text == "no JSON"
    assert wrong["parsed"] is None
    assert isinstance(wrong["parsing_error"], OutputParserException)


def test_structured_answers_stream_as_they_grow() -> None:
    llm, _ = chat(ANN)
    parts = list(llm.with_structured_output(PersonDict).stream("Who?"))
    assert parts[-1] == {"name": "Ann", "age": 7}


def test_tools_and_schema_together() -> None:
    llm, engine = chat(completion(calls=[WEATHER_CALL]))
    wanted = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}
    llm.bind_tools([get_weather], response_format=wanted).invoke("Hi")
    assert asked(engine).constraint == JsonSchema({"type": "object"})
    assert len(asked(engine).tools) == 1


def test_tools_are_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[str | None] = []
    make = Tool.of

    def convert(source: Any, *, name: str | None = None, description: str | None = None) -> Tool:
        converted.append(name)
        return make(source, name=name, description=description)

    monkeypatch.setattr(Tool, "of", convert)
    llm, _ = chat("ok", "ok")
    bound = llm.bind_tools([get_weather, get_time])
    bound.invoke("Hi")
    bound.invoke("Hi")
    assert converted == ["get_weather", "get_time"]


def test_cache_tells_schemas_of_equal_names_apart() -> None:
    llm = ChatXLlama(engine=ScriptedEngine([ANN, '{"name": "Bob"}']), cache=InMemoryCache())
    one = create_model("Same", name=(str, ...), age=(int, ...))
    other = create_model("Same", name=(str, ...))
    answers = [llm.with_structured_output(schema).invoke("Who?") for schema in (one, one, other)]
    assert [answer.name for answer in answers] == ["Ann", "Ann", "Bob"]  # type: ignore[union-attr]
