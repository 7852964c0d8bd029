"""Converts the engine's completions and events into LangChain's messages and chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from xlc_core import Finished, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.frameworks import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import InvalidToolCall
    from langchain_core.messages import ToolCall as LangChainToolCall
    from langchain_core.messages import content as blocks
    from langchain_core.messages.ai import UsageMetadata

    from xlc_core import Completion, CompletionChoice, Event, TokenLogprob, ToolCall, Usage

__all__ = ["PROVIDER", "logprobs_of", "response_metadata_of", "to_chat_result", "to_chunk", "usage_of"]

PROVIDER = "xllama"
"""Names this package in ``response_metadata["model_provider"]``."""


def to_chat_result(completion: Completion) -> ChatResult:
    """Convert a finished answer; each of its ``n`` choices becomes a generation.

    Args:
        completion: the engine's result.

    Returns:
        The generations. The first one carries the usage of all of them.
    """
    return ChatResult(
        generations=[
            ChatGeneration(message=_message(choice, completion, usage=completion.usage if index == 0 else None))
            for index, choice in enumerate(completion.choices)
        ]
    )


def to_chunk(event: Event) -> ChatGenerationChunk | None:
    """Convert one event of a stream.

    The pieces of text, thinking and tool calls become chunks as they come. The last event becomes
    an empty chunk that carries, once and only there, the usage, the model's name and how the answer
    ended.

    Args:
        event: an event of the engine's stream.

    Returns:
        The chunk, or None for an event that is not a part of the answer.
    """
    metadata: dict[str, Any] = {"model_provider": PROVIDER}
    if isinstance(event, TextDelta):
        if event.logprobs:
            metadata["logprobs"] = logprobs_of(event.logprobs)
        message = AIMessageChunk(content=event.text, response_metadata=metadata)
    elif isinstance(event, ReasoningDelta):
        message = AIMessageChunk(
            content="",
            additional_kwargs={"reasoning_content": event.text},
            response_metadata=metadata,
        )
    elif isinstance(event, ToolCallDelta):
        piece = tool_call_chunk(
            name=event.name or None,
            args=event.arguments,
            id=event.id or None,
            index=event.call_index,
        )
        message = AIMessageChunk(content="", tool_call_chunks=[piece], response_metadata=metadata)
    elif isinstance(event, Finished):
        completion = event.completion
        message = AIMessageChunk(
            content="",
            usage_metadata=usage_of(completion.usage),
            response_metadata=response_metadata_of(completion.choices[0], completion),
            chunk_position="last",
        )
    else:
        return None
    return ChatGenerationChunk(message=message)


def _message(choice: CompletionChoice, completion: Completion, *, usage: Usage | None) -> AIMessage:
    valid: list[LangChainToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in choice.tool_calls:
        _sort_in(call, valid, invalid)
    metadata = response_metadata_of(choice, completion)
    if choice.logprobs:
        metadata["logprobs"] = logprobs_of(choice.logprobs)
    return AIMessage(
        content=choice.text,
        additional_kwargs={"reasoning_content": choice.reasoning} if choice.reasoning else {},
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_of(usage) if usage else None,
        response_metadata=metadata,
    )


def _sort_in(call: ToolCall, valid: list[LangChainToolCall], invalid: list[InvalidToolCall]) -> None:
    """Parse a call's arguments, which may have been cut off by ``max_tokens``."""
    try:
        arguments = from_json(call.arguments or "{}")
        if not isinstance(arguments, dict):
            raise ValueError(f"the arguments must be an object, got {type(arguments).__name__}")
        valid.append(tool_call(name=call.name, args=arguments, id=call.id or None))
    except ValueError as error:
        invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id or None, error=str(error)))


def usage_of(usage: Usage) -> UsageMetadata:
    """Return the tokens of a request in LangChain's form."""
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "input_token_details": {"cache_read": usage.cached_tokens},
        "output_token_details": {"reasoning": usage.reasoning_tokens},
    }


def response_metadata_of(choice: CompletionChoice, completion: Completion) -> dict[str, Any]:
    """Return the model's name, how the answer ended, and how long it took."""
    timings = choice.timings
    metadata: dict[str, Any] = {
        "model_provider": PROVIDER,
        "model_name": completion.model,
        "finish_reason": choice.finish_reason,
        "timings": {
            "prompt_seconds": timings.prompt_seconds,
            "prompt_tokens_per_second": timings.prompt_tokens_per_second,
            "generation_seconds": timings.generation_seconds,
            "generation_tokens_per_second": timings.generation_tokens_per_second,
        },
    }
    if choice.stop_sequence:
        metadata["stop_sequence"] = choice.stop_sequence
    return metadata


def logprobs_of(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """Return log-probabilities in OpenAI's form, which LangChain's users know."""
    return {
        "content": [
            {
                "token": token.token,
                "logprob": token.logprob,
                "bytes": list(token.bytes),
                "top_logprobs": [
                    {"token": other.token, "logprob": other.logprob, "bytes": list(other.bytes)} for other in token.top
                ],
            }
            for token in tokens
        ]
    }


def _content_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """Return a message of ours as LangChain's standard blocks.

    The indices are texts: langchain-core's own numbers are equal for tool call 0 and a text before it, and it would
    merge the two into one broken block.
    """
    if not isinstance(message.content, str):
        raise NotImplementedError  # langchain-core then reads the blocks that are there
    streamed = isinstance(message, AIMessageChunk) and message.chunk_position != "last"
    result: list[dict[str, Any]] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        result.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_reasoning"})
    if message.content:
        result.append({"type": "text", "text": message.content, "index": "lc_text"})
    if isinstance(message, AIMessageChunk) and streamed:
        result += [
            {**piece, "type": "tool_call_chunk", "index": f"lc_call_{piece['index']}"}
            for piece in message.tool_call_chunks
        ]
    else:
        for block in result:
            del block["index"]
        result += [{**call, "type": "tool_call"} for call in message.tool_calls]
    return cast("list[blocks.ContentBlock]", result)


register_translator(PROVIDER, _content_blocks, _content_blocks)
