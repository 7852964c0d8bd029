"""XLlamaDecision, where langchain-core has decision models (1.8 and later)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from helpers.tiny_models import write_byte_llama
from xlc_core import InvalidRequestError, TokenLogprob
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.testing import ScriptedEngine

decisions = pytest.importorskip("langchain_core.decisions", reason="langchain-core 1.8 brings decision models")

from xlc_langchain import XLlamaDecision  # noqa: E402

if TYPE_CHECKING:
    from xlc_core import Engine

URGENT = decisions.Noul(instructions="Is it urgent?")
TEAM = decisions.Choice(instructions="Which team?", criteria={"billing": "about money", "technical": None})
ANGER = decisions.Score(instructions="How angry?", criteria=["calm", "cross", "furious"])


def answer(**probabilities: float) -> Completion:
    """A first token with these letters among its candidates, at these probabilities of a thousand."""
    import math

    top = tuple(TokenLogprob(letter, 0, math.log(share), ()) for letter, share in {"The": 0.5, **probabilities}.items())
    best = max(probabilities, key=probabilities.__getitem__)
    choice = CompletionChoice(text=best, logprobs=(TokenLogprob(best, 0, -1.0, top),))
    return Completion((choice,), Usage(prompt_tokens=10, completion_tokens=1), "scripted")


async def test_probabilities_are_those_of_letters() -> None:
    engine = ScriptedEngine([answer(A=0.3, B=0.1), answer(A=0.1, B=0.3), answer(A=0.1, B=0.1, C=0.2)])
    decide = XLlamaDecision(engine=engine)
    questions = {"urgent": URGENT, "team": TEAM, "anger": ANGER}
    response = decide.invoke({"state": "Help!", "questions": questions})
    assert response.nouls["urgent"].noul == pytest.approx(0.75)
    assert response.choices["team"].choice == "technical"
    assert response.choices["team"].confidence == pytest.approx(0.75)
    assert response.scores["anger"].score == pytest.approx(0.25 + 2 * 0.5)
    assert response.scores["anger"].legend == {0: "calm", 1: "cross", 2: "furious"}
    assert response.usage == {"input_tokens": 30, "output_tokens": 3, "total_tokens": 33}
    asked = engine.requests[1].messages[1].content
    assert asked == "Text:\nHelp!\n\nQuestion: Which team?\nA: billing (about money)\nB: technical"


def test_states_of_every_form_are_written_out() -> None:
    engine = ScriptedEngine([answer(A=0.3, B=0.1)])
    decide = XLlamaDecision(engine=engine)
    for state in (
        [HumanMessage("Hi"), AIMessage("Ho")],
        {"thread": [HumanMessage("Hi")], "tries": 3},
    ):
        decide.invoke({"state": state, "questions": {"urgent": URGENT}})
    chat, mapping = (request.messages[1].content for request in engine.requests)
    assert "user: Hi\nassistant: Ho" in chat
    assert json.dumps({"thread": ["user: Hi"], "tries": 3}) in mapping


@pytest.mark.parametrize(
    ("state", "question", "reason"),
    [
        ("x", decisions.Box(instructions="the cat"), "is a Box"),
        ("x", decisions.Choice(instructions="?", criteria=dict.fromkeys(map(str, range(27)))), "27 options"),
        ({"picture": {"type": "image", "base64": "AA=="}}, URGENT, "'image'"),
    ],
)
def test_invalid_request_is_refused(state: Any, question: Any, reason: str) -> None:
    decide = XLlamaDecision(engine=ScriptedEngine([""]))
    with pytest.raises(InvalidRequestError, match=reason):
        decide.invoke({"state": state, "questions": {"q": question}})


async def test_real_model_decides(engine: Engine) -> None:
    decide = XLlamaDecision(engine=engine)
    request = {"state": "The server burns! Send help now!", "questions": {"urgent": URGENT, "team": TEAM, "a": ANGER}}
    response = decide.invoke(request)
    assert 0 < response.nouls["urgent"].noul < 1
    assert sum(response.choices["team"].probabilities.values()) == pytest.approx(1)
    assert 0 < response.scores["a"].score < 2
    again = await decide.ainvoke(request)
    assert again.nouls["urgent"].noul == pytest.approx(response.nouls["urgent"].noul, abs=0.05)


async def test_decision_model_answers_with_its_own_head(tmp_path: Path) -> None:
    template = "{{ state }} {{ instructions }} {% for o in options %}{{ o.key }} {% endfor %}"
    path = write_byte_llama(tmp_path / "decider.gguf", systemone=template)
    decide = XLlamaDecision(model=str(path), engine_options={"n_ctx": 512, "n_threads": 1})
    request = {"state": [HumanMessage("Help!")], "questions": {"urgent": URGENT, "team": TEAM, "anger": ANGER}}
    response = decide.invoke(request)
    assert 0 < response.nouls["urgent"].noul < 1
    assert sum(response.choices["team"].probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert response.scores["anger"].legend == {0: "calm", 1: "cross", 2: "furious"}
    assert response.usage is not None
    assert response.usage["input_tokens"] > 20
    assert response.usage["output_tokens"] == 0
    again = await decide.ainvoke(request)
    assert again.nouls["urgent"].noul == pytest.approx(response.nouls["urgent"].noul, abs=1e-4)
