"""Replies for ScriptedEngine that the LangChain tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlc_core import (
    Completion,
    CompletionChoice,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    Timings,
    ToolCall,
    ToolCallDelta,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

WEATHER_CALL = ToolCall(id="call_1", name="get_weather", arguments='{"city": "Oslo"}')
USAGE = Usage(prompt_tokens=30, completion_tokens=12, cached_tokens=20)


def completion(
    text: str = "", *, reasoning: str = "", calls: Sequence[ToolCall] = (), finish: str = "stop"
) -> Completion:
    choice = CompletionChoice(
        text=text,
        reasoning=reasoning,
        tool_calls=tuple(calls),
        finish_reason=finish,
        timings=Timings(0.5, 10, 1.0, 11),
    )
    return Completion((choice,), USAGE, "scripted")


def thinking_then_calling() -> list[Event]:
    """A stream with everything in it, the arguments in pieces."""
    return [
        ReasoningDelta("Rain"),
        ReasoningDelta("?"),
        TextDelta("Let me "),
        TextDelta("look."),
        ToolCallDelta(0, "call_1", "get_weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments=' "Oslo"}'),
        ToolCallDelta(1, "call_2", "get_time"),
        ToolCallDelta(1, arguments="{}"),
        Finished(
            completion(
                "Let me look.",
                reasoning="Rain?",
                calls=[WEATHER_CALL, ToolCall(id="call_2", name="get_time")],
                finish="tool_calls",
            )
        ),
    ]
