"""``/v1/chat/completions``: answers to chats, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core import (
    ChatKwargs,
    ChatOptions,
    Completion,
    CompletionChoice,
    Event,
    Finished,
    InvalidRequestError,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from xlc_core.frameworks import chat_logprobs, openai_finish_reason, read_response_format
from xlc_server.sampling import GenerationBody
from xlc_server.sending import Chunks
from xlc_server.service import Service, new_id, now
from xlc_server.usage import to_usage

__all__ = ["ChatBody", "allowed_tools", "answer_chat", "stream_chat"]

_MOST_LOGPROBS = 20


class ChatBody(GenerationBody):
    """A chat in OpenAI's form."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=_MOST_LOGPROBS)
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    chat_template_kwargs: dict[str, Any] | None = None
    modalities: list[str] | None = None
    prediction: dict[str, Any] | None = None
    verbosity: str | None = None

    @classmethod
    def _options_class(cls) -> type[ChatOptions]:
        return ChatOptions

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs=true")
        for index, tool in enumerate(self.tools):
            if tool.get("type", "function") != "function" or not isinstance(tool.get("function"), dict):
                raise ValueError(f'tools.{index}: a tool must be {{"type": "function", "function": {{…}}}}')
        if self.modalities not in (None, ["text"]):
            raise ValueError("modalities: this server answers with text only")
        return self

    @property
    def n_top(self) -> int:
        """How many of the likeliest tokens at each place are asked for."""
        return self.top_logprobs or 0

    def chat_options(self, timeout: float | None) -> ChatKwargs:
        """Return the options of the engine for this chat."""
        options = self.options(timeout)
        if self.max_completion_tokens is not None:
            options["max_tokens"] = self.max_completion_tokens
        if self.logprobs:
            options["logprobs"] = max(1, self.n_top)  # 0 would be none at all
        if self.response_format is not None:
            options["constraint"] = read_response_format(self.response_format)
        template = {**self.template_kwargs, **(self.chat_template_kwargs or {})}
        if self.reasoning_effort == "none":
            options["thinking"] = False
        elif self.reasoning_effort is not None:  # templates that have levels read it
            template["reasoning_effort"] = self.reasoning_effort
        tools, choice = allowed_tools(self.tools, self.tool_choice)
        further = {
            "template_kwargs": template,
            "tools": tools,
            "tool_choice": choice,
            "parallel_tool_calls": self.parallel_tool_calls,
        }
        given = {name: value for name, value in further.items() if value not in (None, [], {})}
        return cast("ChatKwargs", {**options, **given})


def allowed_tools(tools: list[dict[str, Any]], choice: Any) -> tuple[list[dict[str, Any]], Any]:
    """Return the tools and the choice that ``{"type": "allowed_tools", …}`` means."""
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return tools, choice
    allowed = choice.get("allowed_tools", choice)
    listed = allowed.get("tools") if isinstance(allowed, Mapping) else None
    if not isinstance(listed, list):
        raise InvalidRequestError("tool_choice: allowed_tools must have a list of tools")
    names = [_tool_name(tool) for tool in listed]
    return [tool for tool in tools if _tool_name(tool) in names], allowed.get("mode", "auto")


def _tool_name(tool: Any) -> Any:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


async def answer_chat(service: Service, body: ChatBody) -> Mapping[str, Any]:
    """Return the answer to a chat."""
    options = body.chat_options(service.options.timeout)
    with await service.engine(body) as lease:
        completion = await lease.engine.achat(body.messages, **options)
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": now(),
        "model": service.model_name(body),
        "choices": [_choice(index, choice, body.n_top) for index, choice in enumerate(completion.choices)],
        "usage": to_usage(completion.usage),
    }


def _choice(index: int, choice: CompletionChoice, n_top: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [_call(call) for call in choice.tool_calls]
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(choice.logprobs, n_top),
        "finish_reason": openai_finish_reason(choice),
    }


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or new_id("call"), "type": "function", "function": function}


def stream_chat(service: Service, body: ChatBody) -> Chunks | None:
    """Return the chunks of an answer, if the request asks for a stream."""
    return _chunks(service, body) if body.stream else None


async def _chunks(service: Service, body: ChatBody) -> Chunks:
    head: dict[str, Any] = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": now(),
        "model": service.model_name(body),
        **({"usage": None} if body.has_usage else {}),
    }
    options = body.chat_options(service.options.timeout)
    with await service.engine(body) as lease:
        async with lease.engine.astream_chat(body.messages, **options) as stream:
            await stream.start()
            for index in range(body.n):
                yield {**head, "choices": [_piece(index, {"role": "assistant", "content": ""})]}
            async for event in stream:
                for choices in _choices(event, body.n_top):
                    yield {**head, "choices": choices}
                if isinstance(event, Finished) and body.has_usage:
                    yield {**head, "choices": [], "usage": to_usage(event.completion.usage)}


def _choices(event: Event, n_top: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the ``choices`` of each chunk that an event becomes."""
    if isinstance(event, TextDelta):
        yield [_piece(event.index, {"content": event.text}, logprobs=chat_logprobs(event.logprobs, n_top))]
    elif isinstance(event, ReasoningDelta):
        yield [_piece(event.index, {"reasoning_content": event.text})]
    elif isinstance(event, ToolCallDelta):
        yield [_piece(event.index, {"tool_calls": [_call_piece(event)]})]
    elif isinstance(event, Finished):
        yield from _ends(event.completion)


def _ends(completion: Completion) -> Iterator[list[dict[str, Any]]]:
    for index, choice in enumerate(completion.choices):
        yield [_piece(index, {}, finish_reason=openai_finish_reason(choice))]


def _piece(
    index: int, delta: dict[str, Any], *, logprobs: dict[str, Any] | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _call_piece(event: ToolCallDelta) -> dict[str, Any]:
    piece: dict[str, Any] = {"index": event.call_index, "function": {"arguments": event.arguments}}
    if event.name:
        piece |= {"id": event.id or new_id("call"), "type": "function"}
        piece["function"]["name"] = event.name
    return piece
