"""The engine's method for decision models, which answer typed questions without generating text."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from xlc_core._native import Engine as NativeEngine
from xlc_core.errors import InvalidRequestError, RequestCancelledError, UnsupportedFeatureError
from xlc_core.options.base import Options, Seconds
from xlc_core.results import Decision, DecisionAnswer, ModelInfo, Usage
from xlc_core.texts import to_json
from xlc_core.waiting import Deadline

__all__ = ["DecisionMethods"]


class _Limits(Options):
    timeout: Seconds | None = None


class DecisionMethods:
    """Engine's methods to decide.

    Attributes:
        info: what the engine says of its model.
    """

    info: ModelInfo
    _native: NativeEngine

    def decide(
        self, state: Any, questions: Mapping[str, Mapping[str, Any]], *, timeout: float | None = None
    ) -> Decision:
        """Answer typed questions about a text with a decision model: probabilities, in one pass, without any token.

        Takes as long as reading the text with the questions.

        Args:
            state: what the questions are about: a text, or values that JSON can express.
            questions: by name, each with ``type``, ``instructions`` and ``criteria``: ``noul`` asks for the probability
                of yes, and its criteria may describe ``true`` and ``false``; ``choice`` has labels with a description
                or None; ``score`` has a list of 2 to 10 levels.
            timeout: seconds after which the questions are given up; None: no limit.

        Returns:
            an answer for each question, and the tokens that were read.

        Raises:
            UnsupportedFeatureError: the model is not a decision model (``info.decides``).
            InvalidRequestError: a question has no instructions, an unknown type, or more options than the model knows;
                or ``state`` or ``questions`` hold what JSON cannot express.
            ContextOverflowError: a prompt does not fit.
            RequestTimeoutError: ``timeout`` passed.
            EngineClosedError: the engine is or was closed.
        """
        return self._decide(state, questions, Deadline(_Limits.checked(timeout=timeout).timeout).check)

    async def adecide(
        self, state: Any, questions: Mapping[str, Mapping[str, Any]], *, timeout: float | None = None
    ) -> Decision:
        """Answer typed questions about a text on a helper thread; see decide. Cancelling ends the work."""
        deadline = Deadline(_Limits.checked(timeout=timeout).timeout)
        cancelled = threading.Event()

        def check() -> None:
            deadline.check()
            if cancelled.is_set():
                raise RequestCancelledError("the task that waited for the decision was cancelled")

        try:
            return await asyncio.to_thread(self._decide, state, questions, check)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def _decide(self, state: Any, questions: Mapping[str, Mapping[str, Any]], check: Callable[[], None]) -> Decision:
        if not self.info.decides:
            raise UnsupportedFeatureError(
                f"{self.info.name!r} is not a decision model; ask a chat model with a constraint, such as Choice"
            )
        answers, n_tokens = self._native.decide(_written(state, questions), check)
        return Decision(
            {name: DecisionAnswer(**answer) for name, answer in json.loads(answers).items()},
            Usage(prompt_tokens=n_tokens),
            self.info.name,
        )


def _written(state: Any, questions: Any) -> str:
    if not isinstance(questions, Mapping) or not all(isinstance(asked, Mapping) for asked in questions.values()):
        raise InvalidRequestError(
            "questions takes mappings by name, such as {'urgent': {'type': 'noul', 'instructions': 'Is it urgent?'}}"
        )
    asked = {name: dict(question) for name, question in questions.items()}
    return to_json({"state": state, "questions": asked}, "the state or a question")
