"""DSPy's modules and optimisers, run to the end on SmolLM2."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import dspy

import xlc_core as xlc
import xlc_dspy

Tone = Literal["good", "bad"]
TRAINING = [
    dspy.Example(text=text, tone=tone).with_inputs("text")
    for text, tone in (("I love it.", "good"), ("I hate it.", "bad"), ("Great!", "good"), ("Awful.", "bad"))
]


class Classify(dspy.Signature):
    """Decide whether a text is good or bad."""

    text: str = dspy.InputField()
    tone: Tone = dspy.OutputField()


def always(example: Any, prediction: Any, trace: Any = None) -> bool:
    return prediction.tone in {"good", "bad"}


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.tone == prediction.tone)


def test_chain_of_thought_and_usage(typed: dspy.LM) -> None:
    with dspy.context(track_usage=True):
        answer = dspy.ChainOfThought(Classify)(text="Great!")
    assert answer.tone in {"good", "bad"}
    assert isinstance(answer.reasoning, str)
    [usage] = answer.get_lm_usage().values()
    assert usage["completion_tokens"] == typed.history[-1]["usage"]["completion_tokens"] > 0


def test_react_calls_tools(typed: dspy.LM) -> None:
    asked = []

    def weather(**arguments: Any) -> str:
        """Return the weather of a city."""
        asked.append(arguments)
        return "Sunny."

    tool = dspy.Tool(weather, name="weather", args={}, arg_types={})
    agent = dspy.ReAct("question -> answer", tools=[tool], max_iters=2)
    with dspy.context(lm=typed.copy(max_tokens=80)):
        answer = agent(question="How is the weather?")
    assert isinstance(answer.answer, str)
    names = {value for name, value in answer.trajectory.items() if name.startswith("tool_name")}
    assert names
    assert names <= {"weather", "finish"}
    assert len(asked) <= 2


def test_program_of_modules_and_evaluation(typed: dspy.LM) -> None:
    scored = dspy.Evaluate(devset=TRAINING, metric=right, num_threads=2, display_progress=False)(dspy.Predict(Classify))
    assert 0 <= scored.score <= 100
    assert len(scored.results) == len(TRAINING)


def test_bootstrap_few_shot(typed: dspy.LM) -> None:
    optimizer = dspy.BootstrapFewShot(metric=always, max_bootstrapped_demos=2, max_labeled_demos=1)
    compiled = optimizer.compile(dspy.Predict(Classify), trainset=TRAINING)
    demos = compiled.demos
    assert len(demos) == 2
    assert all(demo["tone"] in {"good", "bad"} for demo in demos)
    assert compiled(text="Great!").tone in {"good", "bad"}
    messages = typed.history[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert '"tone": ' in messages[2]["content"]


def test_copro_runs_to_the_end(typed: dspy.LM) -> None:
    optimizer = dspy.COPRO(metric=right, breadth=2, depth=1, init_temperature=1.0)
    options = {"num_threads": 2, "display_progress": False, "display_table": 0}
    with dspy.context(lm=typed.copy(max_tokens=80)):  # the names of COPRO's fields have more than 20
        compiled = optimizer.compile(dspy.Predict(Classify), trainset=TRAINING, eval_kwargs=options)
        assert isinstance(compiled.signature.instructions, str)
        assert compiled(text="Awful.").tone in {"good", "bad"}


def test_random_search_keeps_a_program(tiny: xlc.Engine, tmp_path: Path) -> None:
    lm = xlc_dspy.lm(engine=tiny, temperature=0, max_tokens=40, cache=False, num_retries=0)
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=right, max_bootstrapped_demos=1, max_labeled_demos=1, num_candidate_programs=1, num_threads=2
    )
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        best = optimizer.compile(dspy.Predict(Classify), trainset=TRAINING)
        assert 0 <= best.candidate_programs[0]["score"] <= 100
        best.save(tmp_path / "best.json")
        loaded = dspy.Predict(Classify)
        loaded.load(tmp_path / "best.json")
        assert [dict(demo) for demo in loaded.demos] == [dict(demo) for demo in best.demos]
        assert loaded(text="Great!").tone in {"good", "bad"}
