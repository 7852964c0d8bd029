"""Decision models: typed questions that are answered in one pass, by a tiny model with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama

TEMPLATE = (
    "{{ state }}\n{{ instructions }}\n{% for o in options %}{{ o.key }}: {{ o.description }}\n{% endfor %}Answer: "
)
QUESTIONS: dict[str, Any] = {
    "urgent": {"type": "noul", "instructions": "Is it urgent?"},
    "team": {"type": "choice", "instructions": "Which team?", "criteria": {"billing": "money", "technical": None}},
    "anger": {"type": "score", "instructions": "How angry?", "criteria": ["calm", "cross", "furious"]},
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    path = write_byte_llama(tmp_path_factory.mktemp("deciding") / "decider.gguf", systemone=TEMPLATE)
    with xlc.Engine(path, n_ctx=512, n_parallel=2, n_threads=1) as opened:
        yield opened


def test_each_type_of_question_has_its_answer(engine: xlc.Engine) -> None:
    assert engine.info.decides
    decision = engine.decide("The server burns", QUESTIONS)
    assert list(decision.answers) == list(QUESTIONS)
    assert decision.usage.prompt_tokens > 50
    assert decision.usage.completion_tokens == 0
    urgent, team, anger = decision.answers.values()
    assert urgent.noul is not None
    assert 0 < urgent.noul < 1
    assert team.choice == max(team.probabilities, key=team.probabilities.__getitem__)
    assert sum(team.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert anger.score == pytest.approx(
        sum(int(level) * share for level, share in anger.probabilities.items()), abs=1e-4
    )
    assert anger.legend == {"0": "calm", "1": "cross", "2": "furious"}


async def test_answers_depend_on_the_state_alone(engine: xlc.Engine) -> None:
    again, other = (
        await engine.adecide("The server burns", QUESTIONS),
        engine.decide({"text": "all is well"}, QUESTIONS),
    )
    first = engine.decide("The server burns", QUESTIONS)
    assert again.answers["team"].probabilities == pytest.approx(first.answers["team"].probabilities, abs=1e-4)
    assert other.answers["urgent"].noul != pytest.approx(first.answers["urgent"].noul, abs=1e-4)


@pytest.mark.parametrize(
    ("questions", "reason"),
    [
        ({}, "non-empty"),
        ({"a": {"type": "noul"}}, "questions.a: .*instructions"),
        ({"a": {"type": "guess", "instructions": "?"}}, "questions.a: .*type"),
        ({"a": {"type": "score", "instructions": "?", "criteria": ["one"]}}, "questions.a: .*2 to 10"),
    ],
)
def test_wrong_questions_are_refused(engine: xlc.Engine, questions: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        engine.decide("text", questions)


def test_prompt_that_does_not_fit_is_an_error(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.ContextOverflowError):
        engine.decide("a" * 5000, QUESTIONS)
    assert engine.decide("a", QUESTIONS).answers


def test_another_model_does_not_decide(tmp_path: Path) -> None:
    with xlc.Engine(write_byte_llama(tmp_path / "plain.gguf"), n_ctx=256, n_threads=1) as plain:
        assert not plain.info.decides
        with pytest.raises(xlc.UnsupportedFeatureError, match="is not a decision model"):
            plain.decide("text", QUESTIONS)


def test_closed_engine_does_not_decide(tmp_path: Path) -> None:
    engine = xlc.Engine(write_byte_llama(tmp_path / "decider.gguf", systemone=TEMPLATE), n_ctx=256, n_threads=1)
    engine.close()
    with pytest.raises(xlc.EngineClosedError):
        engine.decide("text", QUESTIONS)
