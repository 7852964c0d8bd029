"""XLlamaDecision: probabilities of yes or no, of labels and of levels, read from a chat model's next token.

``langchain_core.decisions`` came with langchain-core 1.8; with an older one this module cannot be imported.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
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
from xlc_core.frameworks import EngineAdapter, label_probabilities
from xlc_langchain.errors import LangChainErrors, langchain_errors
from xlc_langchain.messages import to_engine_messages
from xlc_langchain.results import PROVIDER

__all__ = ["XLlamaDecision"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_N_CANDIDATES = 1000
"""Likeliest tokens among which the letters are looked up: the engine's maximum."""

_SYSTEM = "Read the text, then answer the question about it with the letter of the one option that is right."


class XLlamaDecision(LangChainErrors, EngineAdapter, BaseDecisionModel):
    """Answers typed questions about a text with the probabilities that a chat model gives to the options.

    A decision model (``engine.info.decides``) answers with its own head. For a chat model the options are lettered,
    and the probabilities are those of the letters as the answer's first token, scaled to a sum of 1. One token is
    generated for each question, all questions at once, and the text that they share is read once. ``confidence`` is
    the probability of the likeliest option. Pictures are refused, and so is ``Box``.

    Example:
        >>> decide = XLlamaDecision(model="qwen3-4b")
        >>> urgent = Noul(instructions="Is this urgent?")
        >>> decide.invoke({"state": "The server burns!", "questions": {"urgent": urgent}}).nouls["urgent"].noul
        0.98
    """

    @property
    def _provider(self) -> str:
        return PROVIDER

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with langchain_errors(), ExitStack() as streams:
            engine = self._get_engine()
            if engine.info.decides:
                return _decided(questions, engine.decide(_plain_state(state), _wire(questions)))
            requests = _requests(state, questions)
            opened = {
                name: streams.enter_context(engine.stream_chat(messages, **options))
                for name, (messages, options) in requests.items()
            }
            return _response(questions, {name: stream.result() for name, stream in opened.items()})

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        with langchain_errors():
            engine = await self._aget_engine()
            if engine.info.decides:
                return _decided(questions, await engine.adecide(_plain_state(state), _wire(questions)))
            requests = _requests(state, questions)
            answers = await asyncio.gather(
                *(engine.achat(messages, **options) for messages, options in requests.values())
            )
            return _response(questions, dict(zip(requests, answers, strict=True)))


def _wire(questions: Mapping[str, Question]) -> dict[str, dict[str, Any]]:
    """Return the questions as a decision model takes them."""
    for name, question in questions.items():
        _options(name, question)  # refuses other types
    return {name: _plain(question.model_dump()) for name, question in questions.items()}


def _plain_state(state: State) -> Any:
    return state if isinstance(state, str) else _plain(state)


def _decided(questions: Mapping[str, Question], decision: xlc.Decision) -> ClassifierResponse:
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


_Request = tuple[list[xlc.Message], dict[str, Any]]


def _requests(state: State, questions: Mapping[str, Question]) -> dict[str, _Request]:
    text = _text(state)
    return {name: _request(text, name, question) for name, question in questions.items()}


def _request(text: str, name: str, question: Question) -> _Request:
    options = _options(name, question)
    if len(options) > len(_LETTERS):
        raise xlc.InvalidRequestError(
            f"question {name!r} has {len(options)} options; at most {len(_LETTERS)} are possible"
        )
    lettered = [
        f"{letter}: {label}" if described is None else f"{letter}: {label} ({_written(described)})"
        for letter, (label, described) in zip(_LETTERS, options, strict=False)
    ]
    asked = "\n".join([f"Question: {_written(question.instructions)}", *lettered])
    messages = [
        xlc.Message(role="system", content=_SYSTEM),
        xlc.Message(role="user", content=f"Text:\n{text}\n\n{asked}"),
    ]
    letters = xlc.Choice(*_LETTERS[: len(options)])
    wanted = {"max_tokens": 1, "temperature": 0.0, "thinking": False, "constraint": letters, "logprobs": _N_CANDIDATES}
    return messages, wanted


def _options(name: str, question: Question) -> list[tuple[str, Any]]:
    """Return the labels to choose from, each with its description."""
    if isinstance(question, Noul):
        criteria = question.criteria
        return [("yes", criteria and criteria.true), ("no", criteria and criteria.false)]
    if isinstance(question, Choice):
        return list(question.criteria.items())
    if isinstance(question, Score):
        return [(f"level {level}", described) for level, described in enumerate(question.criteria)]
    raise xlc.UnsupportedFeatureError(
        f"question {name!r} is a {type(question).__name__}, which needs a model that reads pictures; give text"
    )


def _response(questions: Mapping[str, Question], completions: Mapping[str, xlc.Completion]) -> ClassifierResponse:
    usages = [completion.usage for completion in completions.values()]
    models = {completion.model for completion in completions.values()}
    return ClassifierResponse(
        model=next(iter(models), ""),
        answers={name: _answer(name, question, completions[name]) for name, question in questions.items()},
        usage={
            "input_tokens": sum(usage.prompt_tokens for usage in usages),
            "output_tokens": sum(usage.completion_tokens for usage in usages),
            "total_tokens": sum(usage.total_tokens for usage in usages),
        },
    )


def _answer(name: str, question: Question, completion: xlc.Completion) -> NoulAnswer | ChoiceAnswer | ScoreAnswer:
    options = _options(name, question)
    labels = [label for label, _ in options]
    shares = label_probabilities(completion.logprobs[0], _LETTERS[: len(labels)])
    if isinstance(question, Noul):
        return NoulAnswer(type="noul", noul=shares[0])
    if isinstance(question, Choice):
        by_label = dict(zip(labels, shares, strict=True))
        best = max(by_label, key=by_label.__getitem__)
        return ChoiceAnswer(type="choice", choice=best, probabilities=by_label, confidence=by_label[best])
    return ScoreAnswer(
        type="score",
        score=sum(level * share for level, share in enumerate(shares)),
        legend=dict(enumerate(described for _, described in options)),
        probabilities=dict(enumerate(shares)),
        confidence=max(shares),
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
