"""Converts the engine's answers into LiteLLM's."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import litellm
from litellm.types.utils import Choices, Delta, Message, StreamingChoices, Usage

from xlc_core import (
    Completion,
    CompletionChoice,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from xlc_core.frameworks import chat_logprobs, openai_call, openai_finish_reason, openai_usage

__all__ = ["ChunkWriter", "to_embeddings", "to_response"]


def to_response(completion: Completion, response: litellm.ModelResponse) -> litellm.ModelResponse:
    """Write a finished answer into the response that LiteLLM has prepared."""
    response.choices = [_choice(choice, index) for index, choice in enumerate(completion.choices)]
    response.model = completion.model
    response.usage = Usage(**openai_usage(completion.usage))
    return response


def _choice(choice: CompletionChoice, index: int) -> Choices:
    message = Message(
        content=choice.text if choice.text or not choice.tool_calls else None,
        tool_calls=[openai_call(call) for call in choice.tool_calls] or None,
        reasoning_content=choice.reasoning or None,
    )
    reason, logprobs = openai_finish_reason(choice), chat_logprobs(choice.logprobs)
    return Choices(index=index, finish_reason=reason, message=message, logprobs=logprobs)


class ChunkWriter:
    """Turns the events of one answer into chunks, which have the same id.

    Args:
        model: the model's name.
    """

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4()}", "model": model}
        self._role: str | None = "assistant"  # of the first chunk

    def write(self, event: Event) -> Any:
        """Return the chunk for an event; None for one that is not a part of the answer."""
        if isinstance(event, TextDelta):
            return self._chunk(event.logprobs, content=event.text)
        if isinstance(event, ReasoningDelta):
            return self._chunk(reasoning_content=event.text)
        if isinstance(event, ToolCallDelta):
            function = {"name": event.name or None, "arguments": event.arguments}
            piece = {"index": event.call_index, "id": event.id or None, "type": "function", "function": function}
            return self._chunk(tool_calls=[piece])
        return _last_chunk(event.completion) if isinstance(event, Finished) else None

    def _chunk(self, logprobs: Sequence[TokenLogprob] = (), **delta: Any) -> Any:
        role, self._role = self._role, None
        choice = StreamingChoices(index=0, delta=Delta(role=role, **delta), logprobs=chat_logprobs(logprobs))
        return litellm.ModelResponseStream(**self._head, choices=[choice])


def _last_chunk(completion: Completion) -> dict[str, Any]:
    """Return the chunk of LiteLLM's own kind, from which it takes the usage."""
    return {
        "text": "",
        "tool_use": None,
        "is_finished": True,
        "finish_reason": openai_finish_reason(completion),
        "usage": openai_usage(completion.usage),
        "index": 0,
    }


def to_embeddings(vectors: Any, model: str, response: litellm.EmbeddingResponse) -> litellm.EmbeddingResponse:
    """Write vectors into the response that LiteLLM has prepared."""
    response.model = model
    response.data = [
        {"object": "embedding", "index": index, "embedding": vector.tolist()} for index, vector in enumerate(vectors)
    ]
    response.usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)  # vectors come without counts
    return response
