"""The growing object of a streamed JSON answer."""

from __future__ import annotations

import itertools
from typing import Any

import pydantic
import pytest

import xlc_core as xlc


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    age: int = pydantic.Field(ge=0, le=120)


def events(*pieces: str, finish_reason: Any = "stop") -> list[xlc.Event]:
    choice = xlc.CompletionChoice(text="".join(pieces), finish_reason=finish_reason, constraint=xlc.JsonSchema(Person))
    completion = xlc.Completion((choice,), xlc.Usage())
    return [*(xlc.TextDelta(piece) for piece in pieces), xlc.Finished(completion)]


def test_object_grows_and_ends_as_the_model() -> None:
    stream = events('{"na', 'me": "A', 'nn", ', '"age"', ": 7}")
    assert list(xlc.partial_objects(stream)) == [
        {},
        {"name": "A"},
        {"name": "Ann"},
        {"name": "Ann", "age": 7},
        Person(name="Ann", age=7),
    ]


def test_cut_answer_raises_at_its_end() -> None:
    seen = []
    with pytest.raises(ValueError, match="JSON"):  # noqa: PT012 - the error ends the loop
        for value in xlc.partial_objects(events('{"name": "A', finish_reason="length")):
            seen.append(value)  # noqa: PERF402 - what came before the error counts
    assert seen == [{"name": "A"}]


def test_real_stream_grows(engine: xlc.Engine) -> None:
    with engine.stream_chat("Make up a person.", constraint=Person, max_tokens=80, temperature=0) as stream:
        seen = list(xlc.partial_objects(stream))
    assert isinstance(seen[-1], Person)
    assert len(seen) > 3
    names = [value["name"] for value in seen[:-1] if "name" in value]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(names))


async def test_it_grows_for_tasks_too(engine: xlc.Engine) -> None:
    stream = engine.astream_chat("Make up a person.", constraint=Person, max_tokens=80, temperature=0)
    seen = [value async for value in xlc.apartial_objects(stream)]
    assert isinstance(seen[-1], Person)
    assert len(seen) > 3
