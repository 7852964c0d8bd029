"""Results are frozen, and parsed once."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel

import xlc_core as xlc


class Point(BaseModel):
    x: int


def completion(text: str) -> xlc.Completion:
    return xlc.Completion((xlc.CompletionChoice(text=text, constraint=xlc.JsonSchema(Point)),), xlc.Usage())


def test_parsed_parses_once() -> None:
    reply = completion('{"x": 1}')
    assert reply.parsed == Point(x=1)
    assert reply.parsed is reply.parsed is reply.choices[0].parsed is xlc.Finished(reply).parsed


def test_parsed_raises_for_incomplete_answer() -> None:
    reply = completion('{"x":')
    for _ in range(2):
        with pytest.raises(ValueError, match="JSON"):
            _ = reply.parsed


def test_pickle_leaves_out_parsed_object() -> None:
    class Local(BaseModel):  # cannot be pickled
        x: int

    schema = xlc.JsonSchema({"type": "object"})
    choice = xlc.CompletionChoice(text='{"x": 1}', constraint=schema)
    assert choice.parsed == {"x": 1}
    choice.__dict__["parsed"] = Local(x=1)
    again = pickle.loads(pickle.dumps(choice))
    assert again == choice
    assert again.parsed == {"x": 1}
