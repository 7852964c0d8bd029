"""Reports by users of DSPy about local models and adapters, tried here."""

from __future__ import annotations

import base64
import logging
from typing import Any

import dspy
import pytest

import xlc_core as xlc
import xlc_dspy
from xlc_core.testing import ScriptedEngine

PNG = b"\x89PNG\r\n\x1a\n"


def scripted(*replies: Any) -> tuple[ScriptedEngine, dspy.LM]:
    engine = ScriptedEngine(replies)
    return engine, xlc_dspy.lm(engine=engine, cache=False, num_retries=0)


def look_up(word: str, *, limit: int = 3) -> str:
    """Look up a word."""
    return word[:limit]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_react_never_fails_to_parse(tiny: xlc.Engine, seed: int) -> None:
    """stanfordnlp/dspy#8377, #9573: a step of ReAct without its fields."""
    lm = xlc_dspy.lm(engine=tiny, temperature=1.0, seed=seed, max_tokens=160, cache=False, num_retries=0)
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        answer = dspy.ReAct("question -> answer: float", tools=[look_up], max_iters=2)(question="What is it?")
    assert isinstance(answer.answer, float)
    assert {value for name, value in answer.trajectory.items() if "tool_name" in name} <= {"look_up", "finish"}


async def test_stream_of_react_has_the_answer() -> None:
    """stanfordnlp/dspy#8454, dspy-community/dspy-template-adapter#7: listeners, ReAct, and adapters of one's own."""
    _, lm = scripted(
        '{"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}}',
        '{"reasoning": "I know.", "answer": "forty two"}',
    )
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        agent = dspy.ReAct("question -> answer", tools=[look_up], max_iters=2)
        items = [item async for item in dspy.streamify(agent, stream_listeners=[listener])(question="?")]
    *chunks, prediction = items
    assert prediction.answer == "forty two"
    text = "".join(item.chunk for item in chunks if isinstance(item, dspy.streaming.StreamResponse))
    assert "forty two" in text


def test_no_fallback_and_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """stanfordnlp/dspy#8793, #8220: structured output is refused, and asked for again in another form."""
    engine, lm = scripted('{"reasoning": "r", "answer": 0.5, "more": {"a": 1}}')
    caplog.set_level(logging.WARNING, "dspy")
    logging.getLogger("dspy").addHandler(caplog.handler)
    try:
        with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
            answer = dspy.ChainOfThought("question -> answer: float, more: dict[str, int]")(question="?")
    finally:
        logging.getLogger("dspy").removeHandler(caplog.handler)
    assert (answer.answer, answer.more) == (0.5, {"a": 1})
    assert len(engine.requests) == 1
    assert caplog.records == []


def test_answer_is_not_wrapped_in_another_object(tiny: xlc.Engine) -> None:
    """stanfordnlp/dspy#8539: ``{"json_input": {…}}`` instead of the fields."""
    lm = xlc_dspy.lm(engine=tiny, temperature=1.0, seed=5, max_tokens=80, cache=False)
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        answer = dspy.Predict("question -> actors: list[str], details")(question="?")
    assert set(answer.keys()) == {"actors", "details"}


def test_images_and_histories_reach_the_engine() -> None:
    class Look(dspy.Signature):
        image: dspy.Image = dspy.InputField()
        history: dspy.History = dspy.InputField()
        seen: str = dspy.OutputField()

    engine, lm = scripted('{"seen": "a cat"}')
    image = dspy.Image(f"data:image/png;base64,{base64.b64encode(PNG).decode()}")
    history = dspy.History(messages=[{"image": image, "seen": "a dog"}])
    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        assert dspy.Predict(Look)(image=image, history=history).seen == "a cat"
    system, first, answered, second = engine.requests[0].messages
    assert [one.role for one in (system, first, answered, second)] == ["system", "user", "assistant", "user"]
    assert '"seen": "a dog"' in str(answered.content)
    for message in (first, second):
        assert [part.data for part in message.content if isinstance(part, xlc.ImagePart)] == [PNG]


def test_best_of_n_draws_other_answers(tiny: xlc.Engine) -> None:
    """Rollouts are not answered from the cache."""
    lm = xlc_dspy.lm(engine=tiny, max_tokens=60)
    scores: list[str] = []

    def reward(arguments: Any, prediction: Any) -> float:
        scores.append(prediction.word)
        return 0.0

    with dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        dspy.BestOfN(dspy.Predict("question -> word"), N=3, reward_fn=reward, threshold=1.0)(question="?")
    assert len(set(scores)) == 3
