"""The engine's method for decision models, which answer typed questions without generating text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from xlc_core._native import Engine as NativeEngine
from xlc_core.errors import UnsupportedFeatureError
from xlc_core.results import Decision, DecisionAnswer, ModelInfo, Usage
from xlc_core.texts import to_json

__all__ = ["DecisionMethods"]


class DecisionMethods:
    """Engine's methods to decide."""

    info: ModelInfo
    _native: NativeEngine

    def decide(self, state: Any, questions: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Answer typed questions about a text with a decision model: probabilities, in one pass, without any token.

        Args:
            state: what the questions are about: a text, or values that JSON can express.
            questions: by name, each with ``type``, ``instructions`` and ``criteria``: ``noul`` asks for the probability
                of yes, and its criteria may describe ``true`` and ``false``; ``choice`` has labels with a description
                or None; ``score`` has a list of 2 to 10 levels.

        Returns:
            an answer for each question, and the tokens that were read.

        Raises:
            UnsupportedFeatureError: the model is not a decision model (``info.decides``).
            InvalidRequestError: a question has no instructions, an unknown type, or more options than the model knows.
            ContextOverflowError: a prompt does not fit.
            EngineClosedError: the engine is or was closed.
        """
        if not self.info.decides:
            raise UnsupportedFeatureError(
                f"{self.info.name!r} is not a decision model; ask a chat model with a constraint, such as Choice"
            )
        asked = {name: dict(question) for name, question in questions.items()}
        written = to_json({"state": state, "questions": asked}, "the state or a question")
        answers, n_tokens = self._native.decide(written)
        return Decision(
            {name: DecisionAnswer(**answer) for name, answer in json.loads(answers).items()},
            Usage(prompt_tokens=n_tokens),
            self.info.name,
        )

    async def adecide(self, state: Any, questions: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Answer typed questions about a text on a helper thread; see decide."""
        return await asyncio.to_thread(self.decide, state, questions)
