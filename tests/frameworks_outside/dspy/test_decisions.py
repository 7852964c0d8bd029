"""XLlamaDecision: a chat model's letters, and a decision model's head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from dspy.experimental import Noul, Score
from dspy.utils import exceptions

import xlc_core as xlc
import xlc_dspy
from helpers.tiny_models import write_byte_llama

TEMPLATE = (
    "{{ state }}\n{{ instructions }}\n{% for o in options %}{{ o.key }}: {{ o.description }}\n{% endfor %}Answer: "
)

Anger = Score["calm", "cross", "furious"]


class Sort(dspy.Signature):
    """Sort a letter."""

    letter: str = dspy.InputField()
    urgent: bool = dspy.OutputField(desc="Is it urgent?")
    team: Literal["billing", "technical"] = dspy.OutputField(desc="Which team?")
    anger: Anger = dspy.OutputField(desc="How angry?")
    sure: Noul = dspy.OutputField(desc="Is that sure?")


@pytest.fixture(scope="module")
def decider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    path = write_byte_llama(tmp_path_factory.mktemp("deciding") / "decider.gguf", systemone=TEMPLATE)
    with xlc.Engine(path, n_ctx=2048, n_parallel=2, n_threads=1) as opened:
        yield opened


def check(answer: Any) -> None:
    assert answer.urgent in {True, False}
    assert answer.team in {"billing", "technical"}
    assert 0 <= answer.anger.value <= 2
    assert sum(answer.anger.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert answer.anger.value == pytest.approx(sum(n * p for n, p in answer.anger.probabilities.items()), abs=1e-3)
    assert 0 <= answer.sure.probability <= 1
    assert answer.sure.value == (answer.sure.probability >= 0.5)


@pytest.mark.parametrize("kind", ["chat", "decision"])
async def test_every_type_of_output(engine: xlc.Engine, decider: xlc.Engine, kind: str) -> None:
    lm = xlc_dspy.XLlamaDecision(engine=engine if kind == "chat" else decider, cache=False)
    with dspy.context(lm=lm, track_usage=True):
        predict = dspy.Predict(Sort)
        answer = predict(letter="The server burns!")
        check(answer)
        check(await predict.acall(letter="The server burns!"))
    [usage] = answer.get_lm_usage().values()
    assert usage["prompt_tokens"] > 50
    assert usage["completion_tokens"] == (4 if kind == "chat" else 0)
    assert len(lm.history) == 2


def test_second_identical_question_runs_nothing(decider: xlc.Engine) -> None:
    lm = xlc_dspy.XLlamaDecision(engine=decider)
    with dspy.context(lm=lm):
        first, second = (dspy.Predict(Sort)(letter="Hello") for _ in range(2))
    assert first.toDict() == second.toDict()
    assert [bool(entry["usage"]) for entry in lm.history] == [True, False]


def test_demos_are_shown(decider: xlc.Engine) -> None:
    lm = xlc_dspy.XLlamaDecision(engine=decider, cache=False)
    predict = dspy.Predict(Sort)
    predict.demos = [dspy.Example(letter="Money!", team="billing")]
    check(predict(letter="The server burns!", lm=lm))
    assert "Money!" in lm.history[0]["prompt"]


def test_errors_are_those_of_dspy(decider: xlc.Engine) -> None:
    lm = xlc_dspy.XLlamaDecision(engine=decider)
    with pytest.raises(exceptions.ContextWindowExceededError):
        lm("x" * 40_000, {"a": {"type": "noul", "instructions": "?"}})
    with pytest.raises(exceptions.LMUnsupportedModelError):
        dspy.Predict(Sort)(letter="x", lm=xlc_dspy.XLlamaDecision("no-such-model"))
    with pytest.raises(exceptions.LMInvalidRequestError, match="question 'a' must be"):
        xlc_dspy.XLlamaDecision("smollm2-135m-instruct", n_ctx=256)("x", {"a": {"type": "guess", "instructions": "?"}})


def test_saved_programs(decider: xlc.Engine, tmp_path: Path) -> None:
    predict = dspy.Predict(Sort)
    predict.set_lm(xlc_dspy.XLlamaDecision(decider.options.model, n_ctx=2048, engine_options={"n_threads": 1}))
    predict.save(tmp_path / "sort.json")
    loaded = dspy.Predict(Sort)
    loaded.load(tmp_path / "sort.json", allow_unsafe_lm_state=True)
    assert loaded.lm.dump_state() == predict.lm.dump_state()
    check(loaded(letter="Hello"))
    loaded.lm.close()
