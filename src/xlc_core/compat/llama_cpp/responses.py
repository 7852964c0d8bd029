"""Response dictionaries with llama-cpp-python's keys."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xlc_core.events import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.frameworks import chat_logprobs, completion_logprobs, openai_call, openai_finish_reason
from xlc_core.results import Completion, TokenLogprob, Usage

__all__ = ["chat_chunks", "chat_response", "completion_chunks", "completion_response"]


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _head(kind: str, model: str) -> dict[str, Any]:
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    return {"id": f"{prefix}-{uuid.uuid4()}", "object": kind, "created": int(time.time()), "model": model}


# Completions


def completion_response(
    completion: Completion, model: str, *, echoed: str, n_logprobs: int | None, offset: int
) -> dict[str, Any]:
    """Return the response to a completion.

    Args:
        completion: the engine's result.
        model: the model's name.
        echoed: text to put before the answer.
        n_logprobs: how many of the likeliest tokens at each place were asked for; None: no log-probabilities.
        offset: characters before the answer's first token.
    """
    choice = completion.choices[0]
    return {
        **_head("text_completion", model),
        "choices": [
            {
                "text": echoed + choice.text,
                "index": 0,
                "logprobs": _completion_logprobs(choice.logprobs, n_logprobs, offset),
                "finish_reason": openai_finish_reason(choice),
            }
        ],
        "usage": _usage(completion.usage),
    }


def _completion_logprobs(tokens: Sequence[TokenLogprob], n_top: int | None, offset: int) -> dict[str, Any] | None:
    found = None if n_top is None else completion_logprobs(tokens, n_top, offset)
    if found is not None:  # the token itself is always among its alternatives
        for token, logprob, top in zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True):
            top.setdefault(token, logprob)
    return found


def completion_chunks(
    events: Iterable[Event], model: str, *, n_logprobs: int | None, offset: int
) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed completion; see completion_response."""
    head = _head("text_completion", model)
    for event in events:
        choice: dict[str, Any] = {"text": "", "index": 0, "logprobs": None, "finish_reason": None}
        if isinstance(event, TextDelta):
            choice["text"] = event.text
            choice["logprobs"] = _completion_logprobs(event.logprobs, n_logprobs, offset)
            offset += len(event.text)
        elif isinstance(event, Finished):
            choice["finish_reason"] = openai_finish_reason(event.completion.choices[0])
        yield {**head, "choices": [choice]}


# Chats


def chat_response(completion: Completion, model: str, *, n_logprobs: int | None, is_legacy: bool) -> dict[str, Any]:
    """Return the response to a chat.

    Args:
        completion: the engine's result.
        model: the model's name.
        n_logprobs: how many of the likeliest tokens at each place were asked for; None: no log-probabilities.
        is_legacy: whether the request had ``functions`` instead of ``tools``.
    """
    choice = completion.choices[0]
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    finish = openai_finish_reason(choice)
    if choice.tool_calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [openai_call(call) for call in choice.tool_calls]
        message["function_call"] = message["tool_calls"][0]["function"]
        finish = "function_call" if is_legacy and finish == "tool_calls" else finish
    logprobs = None if n_logprobs is None else chat_logprobs(choice.logprobs, n_logprobs)
    return {
        **_head("chat.completion", model),
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}],
        "usage": _usage(completion.usage),
    }


def chat_chunks(
    events: Iterable[Event], model: str, *, n_logprobs: int | None, is_legacy: bool
) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed chat; see chat_response."""
    head = _head("chat.completion.chunk", model)
    yield _chat_chunk(head, {"role": "assistant"})
    for event in events:
        if isinstance(event, TextDelta):
            logprobs = None if n_logprobs is None else chat_logprobs(event.logprobs, n_logprobs)
            yield _chat_chunk(head, {"content": event.text}, logprobs)
        elif isinstance(event, ReasoningDelta):
            yield _chat_chunk(head, {"reasoning_content": event.text})
        elif isinstance(event, ToolCallDelta):
            yield _chat_chunk(head, _call_delta(event, is_legacy))
        elif isinstance(event, Finished):
            finish = openai_finish_reason(event.completion.choices[0])
            finish = "function_call" if is_legacy and finish == "tool_calls" else finish
            yield _chat_chunk(head, {}, None, finish)


def _call_delta(event: ToolCallDelta, is_legacy: bool) -> dict[str, Any]:
    if is_legacy:
        return {"function_call": {"name": event.name, "arguments": event.arguments}}
    function = {"name": event.name or None, "arguments": event.arguments}
    call = {"index": event.call_index, "type": "function", "function": function}
    return {"tool_calls": [{**call, **({"id": event.id} if event.id else {})}]}


def _chat_chunk(
    head: dict[str, Any], delta: dict[str, Any], logprobs: Any = None, finish: str | None = None
) -> dict[str, Any]:
    return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]}
