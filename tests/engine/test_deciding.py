"""Decision models: typed questions that are answered in one pass, by a tiny model with random weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from helpers.waiting import WorkCounter

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


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    ],
)
def test_template_has_a_budget(tmp_path: Path, bomb: str) -> None:
    model = write_byte_llama(tmp_path / "decider.gguf", systemone=bomb + TEMPLATE)
    with (
        pytest.raises(
            (xlc.ModelLoadError, xlc.InvalidRequestError), match=r"decision model's template .*; use another model"
        ),
        xlc.Engine(model, n_ctx=512, n_parallel=1, n_threads=1, warmup=False) as engine,
    ):
        engine.decide("The server burns", QUESTIONS)


@pytest.mark.parametrize("kind", ["lev", "nimble", "pplx-decider", "kev"])
def test_kinds_without_a_head_decide(tmp_path: Path, kind: str) -> None:
    template = TEMPLATE.replace("{% endfor %}", "<|box_end|>{% endfor %}") if kind == "kev" else TEMPLATE
    path = write_byte_llama(tmp_path / "decider.gguf", systemone=template, decision=kind, control=("<|box_end|>",))
    with xlc.Engine(path, n_ctx=512, n_parallel=2, n_threads=1) as engine:
        urgent, team, anger = engine.decide("The server burns", QUESTIONS).answers.values()
    assert urgent.noul is not None
    assert 0 < urgent.noul < 1
    for answer, n_options in ((team, 2), (anger, 3)):
        assert len(answer.probabilities) == n_options
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-4)


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


@pytest.mark.parametrize(
    ("state", "questions", "reason"),
    [
        (object(), QUESTIONS, "the state or a question"),
        (float("nan"), QUESTIONS, "the state or a question"),
        ("text", {"urgent": {**QUESTIONS["urgent"], "criteria": b"yes"}}, "the state or a question"),
        ("text", [QUESTIONS["urgent"]], "mappings by name"),
        ("text", {"urgent": "Is it urgent?"}, "mappings by name"),
    ],
)
def test_values_that_json_lacks_are_refused(engine: xlc.Engine, state: Any, questions: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        engine.decide(state, questions)


async def test_timeout_and_cancelling_give_up(tmp_path: Path) -> None:
    """The engine's only slot is taken by an endless answer, so that no question can be read."""
    path = write_byte_llama(tmp_path / "decider.gguf", systemone=TEMPLATE)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    with xlc.Engine(path, n_ctx=512, n_parallel=1, n_threads=1, on_overflow="shift") as engine:
        with engine.stream_complete("a", max_tokens=10**6, ignore_eos=True) as endless:
            next(endless)
            with pytest.raises(xlc.RequestTimeoutError):
                engine.decide("text", QUESTIONS, timeout=0.1)
            with pytest.raises(xlc.RequestTimeoutError):
                await engine.adecide("text", QUESTIONS, timeout=0.1)
            deciding = asyncio.create_task(engine.adecide("text", QUESTIONS))
            await asyncio.sleep(0)
            deciding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await deciding
            await asyncio.to_thread(bool)  # the one helper thread is free again, though no slot is
        work = WorkCounter(engine)
        assert engine.decide("text", QUESTIONS).answers
        assert work.prompt_tokens() < 2 * engine.decide("text", QUESTIONS).usage.prompt_tokens


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "soon"])
def test_wrong_timeout_is_refused(engine: xlc.Engine, timeout: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="timeout"):
        engine.decide("text", QUESTIONS, timeout=timeout)


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
