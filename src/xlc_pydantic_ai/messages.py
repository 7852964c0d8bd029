"""Converts Pydantic AI's messages into the engine's, and the engine's answers into Pydantic AI's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from pydantic_ai import messages as theirs
from pydantic_ai.usage import RequestUsage

from xlc_core import Completion, InvalidRequestError, Message, Usage
from xlc_core.frameworks import read_chat

__all__ = ["FINISH_REASONS", "PROVIDER", "to_engine_messages", "to_response", "to_usage"]

PROVIDER = "xllama"

FINISH_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_call", "cancelled": "stop"}


def to_engine_messages(messages: Sequence[theirs.ModelMessage], instructions: Sequence[str]) -> list[Message]:
    """Convert a chat. The system prompts that it begins with and the instructions become one system message.

    Args:
        messages: the chat, oldest first.
        instructions: the instructions for this request.

    Raises:
        InvalidRequestError: a message has a part that the engine cannot take.
    """
    entries = [entry for message in messages for entry in _entries(message)]
    leading = [entry["content"] for entry in takewhile(lambda entry: entry["role"] == "system", entries)]
    system = "\n\n".join([*leading, *instructions])
    chat = [*([{"role": "system", "content": system}] if system else []), *entries[len(leading) :]]
    return read_chat(chat)


def _entries(message: theirs.ModelMessage) -> Iterator[dict[str, Any]]:
    """Yield dictionaries in OpenAI's form."""
    if isinstance(message, theirs.ModelResponse):
        yield _answer(message)
        return
    files: list[theirs.UserContent] = []
    for part in message.parts:
        if isinstance(part, theirs.SystemPromptPart):
            yield {"role": "system", "content": part.content}
        elif isinstance(part, theirs.UserPromptPart):
            yield {"role": "user", "content": _content(part.content)}
        elif isinstance(part, theirs.ToolReturnPart):
            text, found = part.model_response_str_and_user_content()
            files += found
            yield _result(part, text)
        elif isinstance(part, theirs.RetryPromptPart):  # of older histories
            text = part.model_response()
            yield _result(part, text) if part.tool_name else {"role": "user", "content": text}
        else:
            raise InvalidRequestError(f"a request cannot have the part {type(part).__name__}")
    if files:  # a tool's result is text alone
        yield {"role": "user", "content": _content(files)}


def _result(part: theirs.ToolReturnPart | theirs.RetryPromptPart, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": part.tool_call_id, "name": part.tool_name, "content": text}


def _answer(message: theirs.ModelResponse) -> dict[str, Any]:
    texts = [part.content for part in message.parts if isinstance(part, theirs.TextPart)]
    thoughts = [part.content for part in message.parts if isinstance(part, theirs.ThinkingPart)]
    calls = [
        {"id": part.tool_call_id, "name": part.tool_name, "arguments": part.args_as_json_str()}
        for part in message.parts
        if isinstance(part, theirs.ToolCallPart)
    ]
    return {"role": "assistant", "content": "".join(texts), "reasoning": "".join(thoughts), "tool_calls": calls}


def _content(content: str | Sequence[theirs.UserContent]) -> Any:
    if isinstance(content, str):
        return content
    return [_block(item) for item in content if not isinstance(item, theirs.CachePoint)]


def _block(item: theirs.UserContent) -> Any:
    if isinstance(item, str):
        return item
    if isinstance(item, theirs.TextContent):
        return item.content
    if isinstance(item, theirs.BinaryContent):
        kind = item.media_type.partition("/")[0]
        known = kind if kind in ("image", "audio", "video") else "file"
        return {"type": known, "base64": item.base64, "mime_type": item.media_type}
    if isinstance(item, theirs.UploadedFile):
        return {"type": "file", "file_id": item.file_id}
    kind = item.kind.partition("-")[0]  # such as image-url
    return {"type": "file" if kind == "document" else f"{kind}_url", "url": item.url}


def to_response(completion: Completion) -> theirs.ModelResponse:
    """Convert a finished answer."""
    parts: list[theirs.ModelResponsePart] = []
    if completion.reasoning:
        parts.append(theirs.ThinkingPart(completion.reasoning, provider_name=PROVIDER))
    if completion.text:
        parts.append(theirs.TextPart(completion.text))
    for call in completion.tool_calls:
        known = {"tool_call_id": call.id} if call.id else {}
        parts.append(theirs.ToolCallPart(call.name, call.arguments, **known))
    return theirs.ModelResponse(
        parts=parts,
        usage=to_usage(completion.usage),
        model_name=completion.model,
        provider_name=PROVIDER,
        provider_details={"finish_reason": completion.finish_reason},
        finish_reason=FINISH_REASONS[completion.finish_reason],
    )


def to_usage(usage: Usage) -> RequestUsage:
    """Return the tokens of a request."""
    return RequestUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
