"""XLlamaEngine and AsyncXLlamaEngine: GGUF models inside this process, as the engines of a ``dspy.LM``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from dspy import lm15
from pydantic import Field, model_validator
from typing_extensions import Self

import xlc_core as xlc
from xlc_core.frameworks import EngineAdapter, read_facts
from xlc_dspy.errors import DspyErrors, dspy_errors
from xlc_dspy.requests import GRAMMAR, Chat, to_chat
from xlc_dspy.responses import to_response, to_stream_event

__all__ = ["AsyncXLlamaEngine", "XLlamaEngine"]


class _EngineFields(DspyErrors, EngineAdapter):
    """The fields of both engines, and what DSPy asks an engine about itself."""

    supports_function_calling: ClassVar[bool] = True
    supports_response_schema: ClassVar[bool] = True
    supported_params: ClassVar[frozenset[str]] = frozenset(
        {
            *("temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "stop", "seed", "stream"),
            *("frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "logit_bias"),
            *("response_format", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort"),
            GRAMMAR,
        }
    )

    options: dict[str, Any] = Field(default_factory=dict)
    """Further options of every request, such as ``{"min_p": 0.1}``: fields of ``xlc_core.ChatOptions``. DSPy's own
    settings, such as ``temperature``, override them."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises, DSPy tries again, and the slot is free. None: no limit."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        xlc.ChatOptions.checked(**self.options)
        return self

    @property
    def supports_reasoning(self) -> bool:
        """Whether the model's template has a place for thinking; False while the file is not on this disk."""
        with dspy_errors():
            engine = self._opened_engine(None)
            if engine is not None:
                return engine.info.supports_thinking
            facts = read_facts(xlc.EngineOptions.checked(model=self.model, **self._engine_options()))
        return facts is not None and facts.supports_thinking

    def dump_state(self) -> dict[str, Any]:
        """Return the configuration as JSON, with which DSPy saves programs."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Return an engine from what ``dump_state`` returned.

        Args:
            state: that.
        """
        return cls(**state)

    def _chat(self, request: lm15.Request) -> Chat:
        chat = to_chat(request)
        own = self.options if self.timeout is None else {**self.options, "timeout": self.timeout}
        return Chat(chat.messages, {**own, **chat.options}, chat.adaptations)


class XLlamaEngine(_EngineFields):
    """Answers DSPy's requests with a GGUF model that llama.cpp runs inside this process.

    Building one loads nothing; see ``load()`` and ``close()``. ``xlc_dspy.lm`` makes a ``dspy.LM`` with it.

    Examples:
        >>> engine = XLlamaEngine(model="smollm2-135m-instruct")
        >>> lm = dspy.LM("xllama/smollm2-135m-instruct", engine=engine)
    """

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer a request.

        Args:
            request: what DSPy asks.

        Returns:
            the answer, with its thinking, calls and tokens.

        Raises:
            lm15.LM15Error: see ``xlc_dspy.errors``; DSPy turns it into its own.
        """
        with dspy_errors():
            chat = self._chat(request)
            completion = self._get_engine().chat(chat.messages, **chat.options)
            return to_response(completion, request.model, chat.adaptations)

    def stream(self, request: lm15.Request) -> Iterator[lm15.StreamEvent]:
        """Answer a request bit by bit. Closing the iterator cancels the answer. Raises the errors of complete."""
        with dspy_errors():
            chat = self._chat(request)
            with self._get_engine().stream_chat(chat.messages, **chat.options) as events:
                yield lm15.StreamStartEvent(model=request.model, adaptations=chat.adaptations)
                for event in events:
                    if (converted := to_stream_event(event)) is not None:
                        yield converted


class AsyncXLlamaEngine(_EngineFields):
    """Answers DSPy's asynchronous requests; see XLlamaEngine, with whose model it shares the weights."""

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer a request without blocking the event loop; a cancelled task frees its slot.

        Args:
            request: what DSPy asks.

        Returns:
            the answer, with its thinking, calls and tokens.

        Raises:
            lm15.LM15Error: see ``xlc_dspy.errors``; DSPy turns it into its own.
        """
        with dspy_errors():
            chat = self._chat(request)
            engine = await self._aget_engine()
            completion = await engine.achat(chat.messages, **chat.options)
            return to_response(completion, request.model, chat.adaptations)

    async def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """Answer a request bit by bit. Closing the iterator cancels the answer. Raises the errors of complete."""
        with dspy_errors():
            chat = self._chat(request)
            engine = await self._aget_engine()
            async with engine.astream_chat(chat.messages, **chat.options) as events:
                yield lm15.StreamStartEvent(model=request.model, adaptations=chat.adaptations)
                async for event in events:
                    if (converted := to_stream_event(event)) is not None:
                        yield converted

    async def aclose(self) -> None:
        """Release the model; as ``close``."""
        self.close()
