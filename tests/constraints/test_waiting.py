"""Grammars that wait: any text may come until a trigger, and the grammar begins with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.generation.request import RequestBuilder, _Grammar

CALL = xlc.Lark('start: /[A-Z]/ "xyz" /[0-9]{3}/')


@pytest.fixture
def wait_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_trigger(pattern: str) -> None:
        monkeypatch.setattr(
            RequestBuilder,
            "_grammar",
            lambda _, constraint, chat: _Grammar(constraint.grammar()[1], waits=True, trigger=pattern),
        )

    return set_trigger


@pytest.mark.parametrize("seed", [0, 2])
def test_grammar_begins_at_the_trigger(engine: xlc.Engine, wait_for: Callable[[str], None], seed: int) -> None:
    """Most of the tokens with a capital letter have other letters behind it, which the grammar does not allow."""
    wait_for("[A-Z]")
    answer = engine.complete("Here is a list of names:", constraint=CALL, temperature=1.0, seed=seed, max_tokens=400)
    assert re.fullmatch(r"[^A-Z]*[A-Z]xyz[0-9]{3}", answer.text)


def test_grammar_begins_at_the_group_of_the_pattern(engine: xlc.Engine, wait_for: Callable[[str], None]) -> None:
    wait_for(" ([A-Z])")
    answer = engine.complete("Once upon a time", constraint=CALL, temperature=1.0, seed=1, max_tokens=400)
    assert re.fullmatch(r"(?s:.)* [A-Z]xyz[0-9]{3}", answer.text)


def test_pattern_for_the_beginning_is_for_the_beginning(engine: xlc.Engine, wait_for: Callable[[str], None]) -> None:
    free = engine.complete("Once upon a time", temperature=0, max_tokens=8)
    wait_for("^ (never)")
    answer = engine.complete("Once upon a time", constraint=CALL, temperature=0, max_tokens=8)
    assert (answer.finish_reason, answer.text) == ("length", free.text)


def test_grammar_that_has_begun_is_closed(tmp_path: Path, wait_for: Callable[[str], None]) -> None:
    wait_for("([a-z])")
    grammar = xlc.Lark('start: /[a-z]/ /[0-9]+/ "end"')
    model = write_byte_llama(tmp_path / "bytes.gguf", space_prefix=False)
    with xlc.Engine(model, n_ctx=512, n_parallel=1, n_threads=1) as engine:
        answer = engine.complete("Hi", constraint=grammar, temperature=1.0, seed=2, max_tokens=60)
    assert re.search(r"[a-z][0-9]+end\Z", answer.text)
