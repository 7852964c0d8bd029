"""XLlamaDecision: probabilities of yes or no, of labels and of levels, read from a chat model's next token.

``langchain_core.decisions`` came with langchain-core 1.8; with an older one this module cannot be imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.decisions import (
    BaseDecisionModel,
    Choice,
    ChoiceAnswer,
    ClassifierResponse,
    Noul,
    NoulAnswer,
    Question,
    Score,
    ScoreAnswer,
    State,
)
from langchain_core.messages import BaseMessage

import xlc_core as xlc
from xlc_core.frameworks import EngineAdapter, adecide_questions, decide_questions
from xlc_langchain.errors import LangChainErrors, langchain_errors
from xlc_langchain.messages import to_engine_messages
from xlc_langchain.results import PROVIDER

__all__ = ["XLlamaDecision"]


class XLlamaDecision(LangChainErrors, EngineAdapter, BaseDecisionModel):
    """Answers typed questions about a text with the probabilities that a chat model gives to the options.

    A decision model answers with its own head, a chat model with the probabilities of lettered options as its next
    token (``xlc_core.frameworks.decide_questions``). Pictures are refused, and so is ``Box``.

    Examples:
        >>> decide = XLlamaDecision(model="qwen3-4b")
        >>> urgent = Noul(instructions="Is this urgent?")
        >>> decide.invoke({"state": "The server burns!", "questions": {"urgent": urgent}}).nouls["urgent"].noul
        0.98
    """

    @property
    def _provider(self) -> str:
        return PROVIDER

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with langchain_errors():
            asked, plain, text = _wire(questions), _plain_state(state), _text(state)
            return _response(questions, decide_questions(self._get_engine(), plain, asked, text=text))

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with langchain_errors():
            asked, plain, text = _wire(questions), _plain_state(state), _text(state)
            engine = await self._aget_engine()
            return _response(questions, await adecide_questions(engine, plain, asked, text=text))


def _wire(questions: Mapping[str, Question]) -> dict[str, dict[str, Any]]:
    """Return the questions as the engine takes them."""
    for name, question in questions.items():
        if not isinstance(question, (Noul, Choice, Score)):
            raise xlc.UnsupportedFeatureError(
                f"question {name!r} is a {type(question).__name__}, which needs a model that reads pictures; give text"
            )
    return {name: _plain(question.model_dump()) for name, question in questions.items()}


def _plain_state(state: State) -> Any:
    return state if isinstance(state, str) else _plain(state)


def _response(questions: Mapping[str, Question], decision: xlc.Decision) -> ClassifierResponse:
    usage = decision.usage
    return ClassifierResponse(
        model=decision.model,
        answers={name: _answered(questions[name], answer) for name, answer in decision.answers.items()},
        usage={
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    )


def _answered(question: Question, answer: xlc.DecisionAnswer) -> NoulAnswer | ChoiceAnswer | ScoreAnswer:
    shares = answer.probabilities
    confidence = answer.confidence or 0.0
    if answer.noul is not None:
        return NoulAnswer(type="noul", noul=answer.noul)
    if answer.choice is not None:
        return ChoiceAnswer(type="choice", choice=answer.choice, probabilities=dict(shares), confidence=confidence)
    return ScoreAnswer(
        type="score",
        score=answer.score or 0.0,
        legend={int(level): described for level, described in answer.legend.items()},
        probabilities={int(level): share for level, share in shares.items()},
        confidence=confidence,
    )


def _text(state: State) -> str:
    """Return a state as text: texts as they are, messages with their roles, the rest as JSON."""
    if isinstance(state, str):
        return state
    if isinstance(state, BaseMessage):
        return _message_text(state)
    if isinstance(state, Sequence) and state and all(isinstance(part, BaseMessage) for part in state):
        return "\n".join(_message_text(part) for part in state if isinstance(part, BaseMessage))
    return _written(state)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return _message_text(value)
    if isinstance(value, Mapping):
        if value.get("type") in {"image", "image_url", "audio", "input_audio", "video", "file"}:
            raise xlc.UnsupportedFeatureError(f"a block {value['type']!r} cannot be read by a text model")
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value


def _message_text(message: BaseMessage) -> str:
    texts = []
    for converted in to_engine_messages([message]):
        if not isinstance(converted.content, str):
            raise xlc.UnsupportedFeatureError(f"a {type(message).__name__} holds pictures or sound; give text")
        calls = "".join(f" [calls {call.name} with {call.arguments}]" for call in converted.tool_calls)
        texts.append(f"{converted.role}: {converted.content}{calls}")
    return "\n".join(texts)
