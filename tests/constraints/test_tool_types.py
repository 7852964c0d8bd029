"""Tools made of functions and types, in the core."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import xlc_core as xlc
from helpers.typed_answers import Animal, Colour, Tree
from xlc_core.generation.conversion import to_tools

T = TypeVar("T")


def book(city: str, nights: Annotated[int, Field(ge=1, le=9)] = 1, *, colours: set[Colour] = frozenset()) -> str:  # type: ignore[assignment]
    """Book a room.

    Rooms are booked at once.

    Args:
        city: the name of
            the city.
        nights (int): how long.

    Returns:
        a number.
    """
    return f"{city} {nights} {sorted(colours)}"


def test_function_becomes_tool() -> None:
    tool = xlc.Tool.of(book)
    assert (tool.name, tool.description) == ("book", "Book a room.\n\nRooms are booked at once.")
    assert tool.parameters["required"] == ["city"]
    city, nights, colours = tool.parameters["properties"].values()
    assert city == {"type": "string", "description": "the name of the city."}
    assert nights["description"] == "how long."
    assert nights["maximum"] == 9
    assert colours["uniqueItems"] is True


def test_arguments_are_read_for_function() -> None:
    arguments = xlc.Tool.of(book).parse('{"city": "Oslo", "colours": ["b", "b"]}')
    assert arguments == {"city": "Oslo", "colours": {Colour.blue}}
    assert book(**arguments) == "Oslo 1 [<Colour.blue: 'b'>]"
    with pytest.raises(ValueError, match="less than or equal to 9"):
        xlc.Tool.of(book).parse('{"city": "Oslo", "nights": 20}')


def test_function_without_annotations_and_with_open_arguments() -> None:
    def anything(a, b=2, *args, **kwargs):  # type: ignore[no-untyped-def]
        return a

    tool = xlc.Tool.of(anything, name="any", description="")
    assert (tool.name, tool.description) == ("any", "")
    assert tool.parameters["properties"] == {"a": {}, "b": {}}
    assert tool.parse('{"a": [1]}') == {"a": [1]}


def test_names_that_models_reserve_may_be_arguments() -> None:
    def query(schema: str, json: int, model_config: bool, _private: int) -> None:
        pass

    assert list(xlc.Tool.of(query).parameters["properties"]) == ["schema", "json", "model_config", "_private"]


def test_argument_without_name_is_refused() -> None:
    def f(a: int, /) -> None:
        pass

    with pytest.raises(xlc.InvalidRequestError, match="argument 'a', which has no name"):
        xlc.Tool.of(f)


class Box(BaseModel, Generic[T]):
    """A box."""

    content: T


class Row(TypedDict):
    """A row.

    Args:
        day: when.
    """

    day: dt.date


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "expected"),
    [
        (Box[int], "Box_int", {"content": 2}, Box[int](content=2)),
        (Tree, "Tree", {"value": 1, "parts": []}, Tree(value=1, parts=[])),
        (Row, "Row", {"day": "2024-01-31"}, {"day": dt.date(2024, 1, 31)}),
        (Colour, "Colour", {"value": "r"}, Colour.red),
        (list[int], "answer", {"value": [1]}, [1]),
        (Animal, "answer", {"value": {"kind": "wolf"}}, None),
        (int | None, "answer", {"value": None}, None),
    ],
)
def test_type_becomes_tool(kind: Any, name: str, arguments: Any, expected: Any) -> None:
    tool = xlc.Tool.of(kind)
    assert tool.name == name
    assert tool.parameters["type"] == "object"
    assert xlc.JsonSchema(tool.parameters).accepts(json.dumps(arguments))
    parsed = tool.parse(json.dumps(arguments))
    assert parsed == expected or expected is None
    with pytest.raises(ValueError, match=r"value|Field|object"):
        tool.parse("[]")


def test_descriptions_of_typed_dict() -> None:
    tool = xlc.Tool.of(Row)
    assert tool.description == "A row."
    assert tool.parameters["properties"]["day"]["description"] == "when."


def test_chat_takes_functions_and_types() -> None:
    tools = to_tools([book, Tree, {"name": "plain"}, xlc.Tool(name="made")])
    assert [tool.name for tool in tools] == ["book", "Tree", "plain", "made"]
    assert [tool.is_type for tool in tools] == [True, True, False, False]
    assert tools[2].parse('{"a": 1}') == {"a": 1}


def test_model_calls_function(engine: xlc.Engine) -> None:
    reply = engine.chat(
        "A room in Oslo for two nights.", tools=[book], tool_choice="book", temperature=0, max_tokens=80
    )
    (call,) = reply.tool_calls
    assert book(**xlc.Tool.of(book).parse(call.arguments))
