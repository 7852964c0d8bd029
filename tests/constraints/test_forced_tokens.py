"""Tokens that a grammar forces: they are drafted, and change no answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import xlc_core as xlc

NAMES = ["identifier", "description", "manufacturer", "weight_in_kilograms"]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string", "maxLength": 12} for name in NAMES},
    "required": NAMES,
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def single() -> Iterator[xlc.Engine]:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=1024, n_parallel=1) as engine:
        yield engine


def ask(engine: xlc.Engine, **options: Any) -> xlc.Completion:
    return engine.chat("Describe a lamp as JSON.", **{"max_tokens": 120, "temperature": 0, "seed": 1, **options})


def test_keys_are_drafted_and_accepted(single: xlc.Engine) -> None:
    answer = ask(single, constraint=SCHEMA)
    assert answer.timings.draft_tokens >= 15
    assert answer.timings.draft_accepted >= 0.8 * answer.timings.draft_tokens


def test_drafts_do_not_change_the_answer(single: xlc.Engine) -> None:
    drafted = ask(single, constraint=SCHEMA)
    # Log-probabilities are only known of tokens that were sampled one by one, so nothing is drafted.
    plain = ask(single, constraint=SCHEMA, logprobs=1)
    assert plain.timings.draft_tokens == 0
    assert plain.logprobs is not None
    assert len(plain.logprobs) >= plain.usage.completion_tokens - 1
    assert drafted.text == plain.text


@pytest.mark.parametrize("constraint", [None, xlc.Regex("[a-z ]{10,40}")])
def test_without_forced_text_nothing_is_drafted(single: xlc.Engine, constraint: xlc.Constraint | None) -> None:
    assert ask(single, constraint=constraint).timings.draft_tokens == 0


def test_forced_text_ends_at_max_tokens(single: xlc.Engine) -> None:
    for max_tokens in range(1, 12):
        answer = ask(
            single, constraint=xlc.Choice("The quick brown fox jumps over the lazy dog."), max_tokens=max_tokens
        )
        assert answer.usage.completion_tokens <= max_tokens
        assert "The quick brown fox jumps over the lazy dog.".startswith(answer.text)


def test_many_sequences_of_a_small_batch_fit() -> None:
    with xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=8, n_batch=24, n_ubatch=24) as engine:
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(engine, constraint=SCHEMA).text)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 8
    assert all(xlc.JsonSchema(SCHEMA).accepts(answer) for answer in answers)


def test_full_context_ends_as_without_drafts() -> None:
    long = xlc.Choice("word " * 300 + "end")
    with xlc.Engine("smollm2-135m-instruct", n_ctx=256, n_parallel=1) as engine:
        answer = engine.chat("Say it.", constraint=long, temperature=0)
    assert answer.finish_reason == "length"
    assert answer.usage.total_tokens >= 250
