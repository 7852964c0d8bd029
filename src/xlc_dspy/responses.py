"""Converts the engine's completions and events into DSPy's responses and stream events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dspy import lm15

import xlc_core as xlc
from xlc_core.frameworks import read_arguments

__all__ = ["to_response", "to_stream_event"]

_FINISH_REASONS: dict[xlc.FinishReason, Any] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "cancelled": "error",
}

# Places of the parts of an answer. Those of calls follow.
_THINKING, _TEXT, _CALLS = 0, 1, 2


def to_response(completion: xlc.Completion, model: str, adaptations: tuple[lm15.Adaptation, ...] = ()) -> lm15.Response:
    """Convert a finished answer.

    Args:
        completion: the engine's result.
        model: the model's name in the request.
        adaptations: settings of the request that had no effect.
    """
    choice = completion.choices[0]
    return lm15.Response(
        id=None,
        model=model,
        message=lm15.Message.assistant(list(_parts(choice)) or [lm15.TextPart("")]),
        finish_reason=_FINISH_REASONS[choice.finish_reason],
        usage=_usage(completion.usage),
        logprobs=_logprobs(choice.logprobs) or None,
        adaptations=adaptations,
    )


def to_stream_event(event: xlc.Event) -> lm15.StreamDeltaEvent | lm15.StreamEndEvent | None:
    """Convert one event of a stream; None for an event that is not a part of the answer."""
    if isinstance(event, xlc.TextDelta):
        return _delta(lm15.TextDelta(event.text, part_index=_TEXT, logprobs=_logprobs(event.logprobs)))
    if isinstance(event, xlc.ReasoningDelta):
        return _delta(lm15.ThinkingDelta(event.text, part_index=_THINKING))
    if isinstance(event, xlc.ToolCallDelta):
        place = _CALLS + event.call_index
        return _delta(
            lm15.ToolCallDelta(event.arguments, part_index=place, id=event.id or None, name=event.name or None)
        )
    if isinstance(event, xlc.Finished):
        reason = _FINISH_REASONS[event.completion.finish_reason]
        return lm15.StreamEndEvent(finish_reason=reason, usage=_usage(event.completion.usage))
    return None


def _delta(delta: lm15.Delta) -> lm15.StreamDeltaEvent:
    return lm15.StreamDeltaEvent(delta)


def _parts(choice: xlc.CompletionChoice) -> Iterator[lm15.Part]:
    if choice.reasoning:
        yield lm15.ThinkingPart(choice.reasoning)
    if choice.text:
        yield lm15.TextPart(choice.text)
    for index, call in enumerate(choice.tool_calls):
        arguments = read_arguments(call) or {}  # of a call that was cut off too, as DSPy reads streams
        yield lm15.ToolCallPart(id=call.id or f"call_{index}", name=call.name, input=arguments)


def _usage(usage: xlc.Usage) -> lm15.Usage:
    return lm15.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        cache_read_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


def _logprobs(tokens: Iterable[xlc.TokenLogprob]) -> tuple[lm15.TokenLogprob, ...]:
    return tuple(
        lm15.TokenLogprob(**_scored(token), top=tuple(lm15.TopLogprob(**_scored(other)) for other in token.top))
        for token in tokens
    )


def _scored(token: xlc.TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": tuple(token.bytes),
        "token_id": token.id,
    }
