"""Texts of sections: what their constraint allows, and that every answer under it is whole."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.frameworks import Section, sections_constraint

VALUES = {"text": "two\n\nlines", "number": "12", "sure": "yes", "day": "2024-01-05", "short": "abc", "tags": '["a"]'}


def schema(kind: Any) -> str:
    return xlc.JsonSchema(kind).text


SECTIONS = [
    Section("## text\n", schema(str)),
    Section("## number\n", schema(int)),
    Section("## sure\n", choices=("yes", "no")),
    Section("## day\n", schema(datetime.date)),
    Section("## short\n", schema(Annotated[str, Field(max_length=3)])),
    Section("## tags\n", schema(list[str])),
]
CONSTRAINT = sections_constraint(SECTIONS, "## end", excluded="## ")


def written(**changed: str) -> str:
    return "".join(f"## {name}\n{value}\n\n" for name, value in {**VALUES, **changed}.items()) + "## end"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    """A model with random weights, whose tokens are bytes."""
    path = write_byte_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf", n_ctx=1024)
    with xlc.Engine(path, n_ctx=1024, n_parallel=1, n_threads=1, warmup=False) as engine:
        yield engine


def test_strings_and_choices_are_plain() -> None:
    assert [section.is_plain for section in SECTIONS] == [True, False, True, True, True, False]
    assert not Section("", schema(str | None)).is_plain


@pytest.mark.parametrize("changed", [{}, {"text": ""}, {"text": "a # b"}, {"short": ""}, {"tags": '["## end"]'}])
def test_fitting_text_is_allowed(changed: dict[str, str]) -> None:
    assert CONSTRAINT.accepts(written(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "a ## number"},
        {"text": " a"},
        {"number": "1.5"},
        {"sure": "perhaps"},
        {"day": "2024-13-05"},
        {"short": "abcd"},
        {"tags": "a"},
    ],
)
def test_other_text_is_refused(changed: dict[str, str]) -> None:
    assert not CONSTRAINT.accepts(written(**changed))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_answer_is_closed_within_a_text(tiny: xlc.Engine, seed: int) -> None:
    """The search for an ending does not guess the heading after a plain text; the constraint names its beginning."""
    answer = tiny.complete("", constraint=CONSTRAINT, max_tokens=200, temperature=1.0, seed=seed)
    assert answer.finish_reason == "length"
    assert CONSTRAINT.accepts(answer.text)
    blind = xlc.Lark(CONSTRAINT.text)
    assert not blind.accepts(tiny.complete("", constraint=blind, max_tokens=200, temperature=1.0, seed=seed).text)


def test_schema_that_cannot_be_enforced_is_refused() -> None:
    impossible = Section("## a\n", '{"type": "integer", "minimum": 5, "maximum": 1}')
    with pytest.raises(xlc.ConstraintError):
        sections_constraint([impossible], "## end", excluded="## ").check()
