"""XLlamaDecision: decisions with measured probabilities, by a decision model or a chat model in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.base_lm import record_history
from dspy.clients.errors import error_boundary
from dspy.utils.callback import BaseCallback, with_callbacks

import xlc_core as xlc
from xlc_core.frameworks import EngineAdapter, adecide_questions, decide_questions, default_model
from xlc_dspy.errors import PROVIDER, DspyErrors, dspy_errors

__all__ = ["XLlamaDecision"]


class _Source(DspyErrors, EngineAdapter):
    timeout: float | None = None


class XLlamaDecision(dspy.BaseLM):
    """Answers the decision outputs of signatures with probabilities that are measured instead of written.

    A decision model answers with its own head. For a chat model, the options are lettered, and the probabilities are
    those of the letters as its next token. Outputs are ``Noul``, ``Score``, ``Choice``, ``bool`` or ``Literal``, each
    with a description, which is the question.

    Examples:
        >>> class Sort(dspy.Signature):
        ...     text: str = dspy.InputField()
        ...     urgent: bool = dspy.OutputField(desc="Is it urgent?")
        >>> dspy.Predict(Sort)(text="The server burns!", lm=XLlamaDecision("qwen3-4b")).urgent
        True
    """

    supports_decision_requests = True

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: xlc.Engine | None = None,
        n_ctx: int | None = None,
        engine_options: dict[str, Any] | None = None,
        timeout: float | None = None,
        cache: bool = True,
        callbacks: list[BaseCallback] | None = None,
    ) -> None:
        """Configure a model; it is loaded on first use.

        Args:
            model: a path, a catalog name, or ``hf:owner/repo[:quant-or-file]``; None: ``$XLLAMA_MODEL``.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            n_ctx: tokens that one request may hold; None: what the model and memory allow.
            engine_options: further fields of ``xlc_core.EngineOptions``; None: none.
            timeout: seconds that a call may take; None: no limit.
            cache: whether DSPy keeps answers in its cache.
            callbacks: DSPy's, of this model; None: none.

        Raises:
            ValueError: an option has a value that cannot be honoured, or no model is named.
        """
        named: dict[str, Any] = {"model": model or default_model()} if engine is None else {"engine": engine}
        self._source = _Source(n_ctx=n_ctx, engine_options=engine_options or {}, timeout=timeout, **named)
        super().__init__(f"{PROVIDER}/{self._source.model}", cache=cache, callbacks=callbacks)

    @with_callbacks
    def __call__(self, state: Any, questions: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Answer questions, as ``dspy.Predict`` asks them.

        Args:
            state: what they are about, as JSON.
            questions: by name, each with ``type``, ``instructions`` and ``criteria``.

        Returns:
            by name, ``noul``, or ``choice`` or ``score`` with ``probabilities`` and ``confidence``.

        Raises:
            LMError: DSPy's errors, as of an LM.
        """
        request = self._request(state, questions)
        if (cached := self._cached(request)) is not None:
            return self._record(request, cached, {})
        with error_boundary(self.model, provider=PROVIDER), dspy_errors():
            engine = self._source.get_engine()
            return self._finish(request, decide_questions(engine, state, questions, timeout=self._source.timeout))

    @with_callbacks
    async def acall(self, state: Any, questions: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Answer questions without blocking the event loop; see __call__."""
        request = self._request(state, questions)
        if (cached := self._cached(request)) is not None:
            return self._record(request, cached, {})
        with error_boundary(self.model, provider=PROVIDER), dspy_errors():
            engine = await self._source.aget_engine()
            asked = adecide_questions(engine, state, questions, timeout=self._source.timeout)
            return self._finish(request, await asked)

    def close(self) -> None:
        """Release the model; it is unloaded at once if nobody else in the process uses it."""
        self._source.close()

    def dump_state(self) -> dict[str, Any]:
        """Return the configuration, with which DSPy saves programs."""
        marker = {name: value for name, value in super().dump_state().items() if name.startswith("_")}
        fields = self._source.model_dump(mode="json", include={"model", "n_ctx", "engine_options", "timeout"})
        return {**marker, **fields, "cache": self.cache}

    def _request(self, state: Any, questions: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "options": self._source.engine_options, "state": state, "questions": questions}

    def _cached(self, request: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
        found: dict[str, dict[str, Any]] | None = dspy.cache.get(request) if self.cache else None
        return found

    def _finish(self, request: dict[str, Any], decision: xlc.Decision) -> dict[str, dict[str, Any]]:
        answers = {name: _answer(answer) for name, answer in decision.answers.items()}
        if self.cache:
            dspy.cache.put(request, answers)
        usage = {
            "prompt_tokens": decision.usage.prompt_tokens,
            "completion_tokens": decision.usage.completion_tokens,
            "total_tokens": decision.usage.total_tokens,
        }
        if dspy.settings.usage_tracker:
            dspy.settings.usage_tracker.add_usage(self.model, usage)
        return self._record(request, answers, usage)

    def _record(
        self, request: dict[str, Any], answers: dict[str, dict[str, Any]], usage: dict[str, int]
    ) -> dict[str, dict[str, Any]]:
        asked = json.dumps({name: request[name] for name in ("state", "questions")}, ensure_ascii=False)
        entry = {"prompt": asked, "messages": None, "outputs": [json.dumps(answers)], "usage": usage}
        record_history(self, {**entry, "request": request, "model": self.model})
        return answers


def _answer(answer: xlc.DecisionAnswer) -> dict[str, Any]:
    if answer.noul is not None:
        return {"noul": answer.noul}
    shares = {"probabilities": dict(answer.probabilities), "confidence": answer.confidence}
    return {"choice": answer.choice, **shares} if answer.choice is not None else {"score": answer.score, **shares}
