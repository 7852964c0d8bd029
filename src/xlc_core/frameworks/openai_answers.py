"""Answers in OpenAI's form, which many frameworks keep, and the reading of calls."""

from __future__ import annotations

import uuid
from typing import Any

from xlc_core.messages import ToolCall
from xlc_core.nesting import from_json
from xlc_core.results import Completion, CompletionChoice, Usage

__all__ = ["openai_call", "openai_finish_reason", "openai_usage", "read_arguments"]


def openai_usage(usage: Usage) -> dict[str, Any]:
    """Return the tokens of a request.

    Args:
        usage: ours.
    """
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def openai_call(call: ToolCall) -> dict[str, Any]:
    """Return a call of a tool. One without an id gets one.

    Args:
        call: ours.
    """
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or f"call_{uuid.uuid4().hex}", "type": "function", "function": function}


def openai_finish_reason(answer: Completion | CompletionChoice) -> str:
    """Return why an answer ended: ``"stop"``, also if it was cancelled, ``"length"`` or ``"tool_calls"``.

    Args:
        answer: one of several, or the result, whose first one counts.
    """
    return "stop" if answer.finish_reason == "cancelled" else answer.finish_reason


def read_arguments(call: ToolCall) -> dict[str, Any] | None:
    """Return a call's arguments; None if ``max_tokens`` cut them off.

    Args:
        call: the call, whose arguments are JSON text.
    """
    try:
        arguments = from_json(call.arguments or "{}")
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None
