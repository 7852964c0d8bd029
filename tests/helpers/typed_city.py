"""A type whose every answer ends by itself within a few tokens, and a tool with such arguments."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

CITY_TOKENS = 80
"""Tokens that are enough for any city."""

TALE = "Write a long story about a llama."


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=12)
    population: int = Field(ge=0, le=99)


WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "enum": [1, 7]}},
        "required": ["place", "days"],
        "additionalProperties": False,
    },
}


def check_call(name: str, arguments: dict[str, Any]) -> None:
    """Fail unless a call is one of the tool ``weather``, with arguments that match its schema."""
    assert name == "weather"
    assert arguments.keys() == {"place", "days"}
    assert len(arguments["place"]) <= 12
    assert arguments["days"] in (1, 7)
