"""Converts the engine's completions and events into LlamaIndex's responses."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import PrivateAttr
from pydantic_core import from_json as read_partly

from xlc_core import (
    AsyncEventStream,
    Completion,
    Event,
    EventStream,
    Finished,
    PromptProgress,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)
from xlc_core.frameworks import from_json, openai_usage

__all__ = [
    "Answer",
    "StreamedChatResponse",
    "aresponses",
    "responses",
    "to_chat_response",
    "to_completion_response",
]

_Response = TypeVar("_Response", covariant=True)


class _Layout(Protocol[_Response]):
    def __call__(self, answer: Answer, *, streamed: bool) -> _Response: ...


@dataclass
class _Call:
    id: str
    name: str
    arguments: str = ""


class StreamedChatResponse(ChatResponse):
    """A response of a stream, which keeps the engine's event that it was made of."""

    _event: Event | None = PrivateAttr(None)


@dataclass
class Answer:
    """The answer so far, and the addition of its last event.

    Attributes:
        text: the text so far.
        reasoning: the thinking so far.
        delta: the text that the last event added.
        extras: further facts of the last event for a streamed response, such as ``thinking_delta``.
        logprobs: log-probabilities of the tokens that the last event added.
        completion: the whole result, once it is there.
        event: the last event.
    """

    text: str = ""
    reasoning: str = ""
    delta: str = ""
    extras: dict[str, Any] = field(default_factory=dict)
    logprobs: list[list[LogProb]] = field(default_factory=list)
    completion: Completion | None = None
    event: Event | None = None
    _calls: list[_Call] = field(default_factory=list)

    def take(self, event: Event) -> bool:
        """Add an event of a stream, and return whether it is a part of the answer."""
        self.event = event
        self.delta = ""
        self.extras = {}
        self.logprobs = []
        if isinstance(event, TextDelta):
            self.text += event.text
            self.delta = event.text
            self.logprobs = _logprobs(event.logprobs)
        elif isinstance(event, ReasoningDelta):
            self.reasoning += event.text
            self.extras = {"thinking_delta": event.text}
        elif isinstance(event, ToolCallDelta):
            self._take_call(event)
        elif isinstance(event, Finished):
            self._finish(event.completion)
        return not isinstance(event, PromptProgress)

    @classmethod
    def whole(cls, completion: Completion) -> Answer:
        """Return the answer of a finished request."""
        answer = cls()
        answer._finish(completion)
        answer.logprobs = _logprobs(completion.logprobs)
        return answer

    def _take_call(self, event: ToolCallDelta) -> None:
        if event.call_index == len(self._calls):
            self._calls.append(_Call(event.id or _new_id(), event.name))
        self._calls[event.call_index].arguments += event.arguments

    def _finish(self, completion: Completion) -> None:
        self.completion = completion
        self.text = completion.text
        self.reasoning = completion.reasoning
        streamed = self._calls
        self._calls = [
            _Call(streamed[n].id if n < len(streamed) else call.id or _new_id(), call.name, call.arguments)
            for n, call in enumerate(completion.tool_calls)
        ]

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls so far; the arguments of the last one may be incomplete."""
        return [ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in self._calls]

    @property
    def raw(self) -> dict[str, Any] | None:
        """Usage, finish reason and timings of the request; None before its end."""
        return None if self.completion is None else _raw(self.completion)


def responses(stream: EventStream, layout: _Layout[_Response]) -> Generator[_Response, None, None]:
    """Yield a response for each event of a stream that is a part of the answer.

    Args:
        stream: the engine's stream, which ends when the generator does.
        layout: to_chat_response or to_completion_response.
    """
    answer = Answer()
    with stream:
        for event in stream:
            if answer.take(event):
                yield layout(answer, streamed=True)


async def aresponses(stream: AsyncEventStream, layout: _Layout[_Response]) -> AsyncGenerator[_Response, None]:
    """Yield a response for each event of a stream that is a part of the answer; as responses."""
    answer = Answer()
    async with stream:
        async for event in stream:
            if answer.take(event):
                yield layout(answer, streamed=True)


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex}"


def to_chat_response(answer: Answer, *, streamed: bool = False) -> ChatResponse:
    """Return an answer, or the part of it that is there, as a chat response.

    Args:
        answer: the answer.
        streamed: whether this is one response of a stream, which has a ``delta``.

    Returns:
        The response. Its message holds a ThinkingBlock, a TextBlock and ToolCallBlocks, as far as there are such.
        The calls are in ``additional_kwargs["tool_calls"]`` too, in OpenAI's form, where parts of LlamaIndex look
        for them.
    """
    whole = answer.completion is not None
    calls = answer.calls
    blocks: list[Any] = []
    if answer.reasoning:
        blocks.append(ThinkingBlock(content=answer.reasoning))
    if answer.text or not calls:
        blocks.append(TextBlock(text=answer.text))
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=_arguments(call.arguments, whole))
        for call in calls
    ]
    raw = answer.raw
    kind = StreamedChatResponse if streamed else ChatResponse
    response = kind(
        message=ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=blocks,
            additional_kwargs={"tool_calls": [_openai_form(call) for call in calls]} if calls else {},
        ),
        raw=raw,
        delta=answer.delta if streamed else None,
        logprobs=answer.logprobs or None,
        additional_kwargs={**_counts(raw), **answer.extras},
    )
    if isinstance(response, StreamedChatResponse):
        response._event = answer.event
    return response


def to_completion_response(answer: Answer, *, streamed: bool = False) -> CompletionResponse:
    """Return an answer, or the part of it that is there, as a completion response; as to_chat_response."""
    raw = answer.raw
    return CompletionResponse(
        text=answer.text,
        raw=raw,
        delta=answer.delta if streamed else None,
        logprobs=answer.logprobs or None,
        additional_kwargs={**_counts(raw), **answer.extras},
    )


def _arguments(text: str, whole: bool) -> dict[str, Any] | str:
    """Return a call's arguments: in a stream those so far; the text itself if they were cut off."""
    try:
        value = from_json(text or "{}") if whole else read_partly(text or "{}", allow_partial="trailing-strings")
    except ValueError:
        return text if whole else {}
    if isinstance(value, dict):
        return value
    return text if whole else {}


def _openai_form(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _counts(raw: dict[str, Any] | None) -> dict[str, Any]:
    if raw is None:
        return {}
    return {name: raw["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _raw(completion: Completion) -> dict[str, Any]:
    """Return usage, timings and finish reason, under the names of OpenAI and llama-server."""
    usage, timings = completion.usage, completion.timings
    raw: dict[str, Any] = {
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "usage": openai_usage(usage),
        "timings": {
            "cache_n": usage.cached_tokens,
            "prompt_n": timings.prompt_tokens,
            "prompt_ms": timings.prompt_seconds * 1000,
            "prompt_per_second": timings.prompt_tokens_per_second,
            "predicted_n": timings.generation_tokens,
            "predicted_ms": timings.generation_seconds * 1000,
            "predicted_per_second": timings.generation_tokens_per_second,
            "draft_n": timings.draft_tokens,
            "draft_n_accepted": timings.draft_accepted,
        },
    }
    if completion.stop_sequence:
        raw["stop_sequence"] = completion.stop_sequence
    return raw


def _logprobs(tokens: Sequence[TokenLogprob]) -> list[list[LogProb]]:
    """Return each token's log-probability, followed by those of the other candidates."""
    return [
        [LogProb(token=one.token, logprob=one.logprob, bytes=list(one.bytes)) for one in _candidates(token)]
        for token in tokens
    ]


def _candidates(token: TokenLogprob) -> list[TokenLogprob]:
    return [token, *(other for other in token.top if other.id != token.id)]
