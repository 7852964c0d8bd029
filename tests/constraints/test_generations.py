"""Answers at temperature 1 of a model that would rather say something else: each matches, cut short or not."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest

import xlc_core as xlc
from helpers.generated_schemas import make_schema

MAX_TOKENS = 160


@dataclass
class Outcome:
    """The results of all answers."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)


def generate(engine: xlc.Engine, n_schemas: int, n_each: int, n_at_once: int) -> Outcome:
    validators = [
        jsonschema.Draft202012Validator(
            make_schema(seed), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for seed in range(n_schemas)
    ]
    outcome = Outcome()

    def ask(number: int) -> tuple[int, Any]:
        seed = number % n_schemas
        prompt = f"Fill in this record, number {number}, as JSON."
        answer = engine.chat(prompt, constraint=make_schema(seed), temperature=1.0, seed=number, max_tokens=MAX_TOKENS)
        return seed, answer

    with ThreadPoolExecutor(n_at_once) as pool:
        for seed, answer in pool.map(ask, range(n_schemas * n_each)):
            outcome.counts[answer.finish_reason] += 1
            reason = complaint(validators[seed], answer)
            if reason:
                outcome.wrong.append((seed, reason, answer.text))
    return outcome


def complaint(validator: jsonschema.Draft202012Validator, answer: Any) -> str:
    """Why an answer is wrong; nothing when it is right."""
    if answer.finish_reason not in ("stop", "length"):
        return f"it ends with {answer.finish_reason}"
    try:
        value = json.loads(answer.text)
    except ValueError as error:
        return f"it is not JSON: {error}"
    return "; ".join(error.message for error in validator.iter_errors(value))


def test_answers_match_constraint_for_any_model(engine: xlc.Engine) -> None:
    outcome = generate(engine, n_schemas=12, n_each=2, n_at_once=4)
    assert not outcome.wrong
    assert outcome.counts["stop"] >= 17


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thousand_answers_match(engine: xlc.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = generate(engine, n_schemas=100, n_each=10, n_at_once=8)
    with capsys.disabled():
        print(f"\n1,000 answers over 100 schemas: {dict(outcome.counts)}, {len(outcome.wrong)} wrong")
        print(outcome.wrong)
    assert not outcome.wrong
    assert outcome.counts["stop"] >= 800
