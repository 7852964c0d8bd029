"""Typed questions about a text: answered by a decision model, or by the probabilities of a chat model's next token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from xlc_core.constraints.text_constraints import Choice
from xlc_core.engine.engine import Engine
from xlc_core.errors import InvalidRequestError
from xlc_core.generation.label_probabilities import label_probabilities
from xlc_core.messages import Message
from xlc_core.results import Completion, Decision, DecisionAnswer, Usage

__all__ = ["adecide_questions", "decide_questions"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_N_CANDIDATES = 1000
"""Likeliest tokens among which the letters are looked up."""

_SYSTEM = "Read the text, then answer the question about it with the letter of the one option that is right."

_Question = Mapping[str, Any]
_Request = tuple[list[Message], dict[str, Any]]


def decide_questions(
    engine: Engine,
    state: Any,
    questions: Mapping[str, _Question],
    *,
    text: str | None = None,
    timeout: float | None = None,
) -> Decision:
    """Answer typed questions about a text with probabilities, by any model that generates or decides.

    A decision model (``engine.info.decides``) answers with its own head. For a chat model the options are lettered, and
    the probabilities are those of the letters as the answer's first token, scaled to a sum of 1. One token is generated
    for each question, all questions at once, and the text that they share is read once. ``confidence`` of a choice or
    a score is then the probability of the likeliest option, and not a decision model's formula (DecisionAnswer).

    Args:
        engine: the model.
        state: what the questions are about: a text, or values that JSON can express.
        questions: by name, as ``Engine.decide`` takes them.
        text: the state as a chat model reads it; None: the state itself, or as JSON.
        timeout: seconds after which the questions are given up; None: no limit.

    Returns:
        an answer for each question, and the tokens of all.

    Raises:
        InvalidRequestError: a question has more than 26 options or another form than ``Engine.decide`` takes.
        XllamaError: the errors of ``Engine.decide`` and ``Engine.chat``.
    """
    if engine.info.decides:
        return engine.decide(state, questions, timeout=timeout)
    requests = _requests(state if text is None else text, questions, timeout)
    with ExitStack() as streams:
        opened = [streams.enter_context(engine.stream_chat(chat, **options)) for chat, options in requests]
        return _decision(questions, [stream.result() for stream in opened])


async def adecide_questions(
    engine: Engine,
    state: Any,
    questions: Mapping[str, _Question],
    *,
    text: str | None = None,
    timeout: float | None = None,
) -> Decision:
    """Answer typed questions about a text without blocking the event loop; see decide_questions."""
    if engine.info.decides:
        return await engine.adecide(state, questions, timeout=timeout)
    requests = _requests(state if text is None else text, questions, timeout)
    return _decision(questions, await asyncio.gather(*(engine.achat(chat, **options) for chat, options in requests)))


def _requests(state: Any, questions: Mapping[str, _Question], timeout: float | None) -> list[_Request]:
    text = _written(state)
    return [_request(text, name, question, timeout) for name, question in questions.items()]


def _request(text: str, name: str, question: _Question, timeout: float | None) -> _Request:
    options = _options(name, question)
    if len(options) > len(_LETTERS):
        raise InvalidRequestError(f"question {name!r} has {len(options)} options; at most {len(_LETTERS)} are possible")
    lettered = [
        f"{letter}: {label}" if described is None else f"{letter}: {label} ({_written(described)})"
        for letter, (label, described) in zip(_LETTERS, options, strict=False)
    ]
    asked = "\n".join([f"Question: {_written(question.get('instructions'))}", *lettered])
    messages = [
        Message(role="system", content=_SYSTEM),
        Message(role="user", content=f"Text:\n{text}\n\n{asked}"),
    ]
    letters = Choice(*_LETTERS[: len(options)])
    wanted = {"max_tokens": 1, "temperature": 0.0, "thinking": False, "constraint": letters, "logprobs": _N_CANDIDATES}
    return messages, {**wanted, "timeout": timeout}


def _options(name: str, question: _Question) -> list[tuple[str, Any]]:
    """Return the labels to choose from, each with its description."""
    kind, criteria = question.get("type"), question.get("criteria")
    if kind == "noul":
        described = criteria or {}
        return [("yes", described.get("true")), ("no", described.get("false"))]
    if kind == "choice" and isinstance(criteria, Mapping) and criteria:
        return list(criteria.items())
    if kind == "score" and isinstance(criteria, list) and criteria:
        return [(f"level {level}", described) for level, described in enumerate(criteria)]
    raise InvalidRequestError(
        f"question {name!r} must be a noul, a choice with labels or a score with levels, got {question!r:.200}"
    )


def _decision(questions: Mapping[str, _Question], completions: list[Completion]) -> Decision:
    usages = [completion.usage for completion in completions]
    return Decision(
        answers={
            name: _answer(name, question, completion)
            for (name, question), completion in zip(questions.items(), completions, strict=True)
        },
        usage=Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in usages),
            completion_tokens=sum(usage.completion_tokens for usage in usages),
            cached_tokens=sum(usage.cached_tokens for usage in usages),
        ),
        model=completions[0].model if completions else "",
    )


def _answer(name: str, question: _Question, completion: Completion) -> DecisionAnswer:
    options = _options(name, question)
    labels = [label for label, _ in options]
    shares = label_probabilities(completion.logprobs[0], _LETTERS[: len(labels)])
    if question["type"] == "noul":
        return DecisionAnswer(type="noul", noul=shares[0])
    if question["type"] == "choice":
        by_label = dict(zip(labels, shares, strict=True))
        best = max(by_label, key=by_label.__getitem__)
        return DecisionAnswer(type="choice", choice=best, probabilities=by_label, confidence=by_label[best])
    return DecisionAnswer(
        type="score",
        score=sum(level * share for level, share in enumerate(shares)),
        legend={str(level): described for level, (_, described) in enumerate(options)},
        probabilities={str(level): share for level, share in enumerate(shares)},
        confidence=max(shares),
    )


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
