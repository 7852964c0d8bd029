"""``/v1/messages``: Anthropic's Messages API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core import (
    ChatKwargs,
    ChatOptions,
    CompletionChoice,
    Event,
    Finished,
    InvalidRequestError,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from xlc_core.frameworks import read_arguments, read_response_format
from xlc_server.sampling import GenerationBody
from xlc_server.sending import Chunks
from xlc_server.service import Service, new_id

__all__ = ["CountBody", "MessagesBody", "answer_count", "answer_message", "stream_message"]


class CountBody(GenerationBody):
    """A chat in Anthropic's form."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] = Field(default_factory=dict)
    output_config: dict[str, Any] = Field(default_factory=dict)
    output_format: dict[str, Any] | None = None
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    cache_control: Any = None
    context_management: Any = None

    @classmethod
    def _options_class(cls) -> type[ChatOptions]:
        return ChatOptions

    @model_validator(mode="after")
    def _refuse_tools_of_theirs(self) -> Self:
        for tool in self.tools:
            if "input_schema" not in tool:
                name = str(tool.get("type") or tool.get("name"))
                raise ValueError(f"tools: a tool needs an input_schema; {name!r:.50} does not have one")
        if self.n != 1:
            raise ValueError("n: a message is one answer")
        return self

    def chat(self) -> list[dict[str, Any]]:
        """Return the messages, with the system's first."""
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.messages]

    def functions(self) -> list[dict[str, Any]]:
        """Return the tools in OpenAI's form."""
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.get("name"),
                    "description": tool.get("description") or "",
                    "parameters": tool["input_schema"],
                },
            }
            for tool in self.tools
        ]


class MessagesBody(CountBody):
    """A request for a message."""

    max_tokens: int | None = Field(ge=0)

    def chat_options(self, timeout: float | None) -> ChatKwargs:
        """Return the options of the engine."""
        options = self.options(timeout)
        if self.stop_sequences:
            options["stop"] = self.stop_sequences
        if self.thinking.get("type") == "disabled":
            options["thinking"] = False
        elif self.thinking:
            options["thinking"] = True
            if self.thinking.get("budget_tokens") is not None:
                options["thinking_budget"] = self.thinking["budget_tokens"]
        template = dict(self.template_kwargs)
        if self.output_config.get("effort") is not None:
            template["reasoning_effort"] = self.output_config["effort"]
        if template:
            options["template_kwargs"] = template
        form = self.output_config.get("format") or self.output_format
        if form is not None:
            if not isinstance(form, Mapping):
                raise InvalidRequestError("output_config: its format must be an object")
            options["constraint"] = read_response_format({"type": form.get("type"), "json_schema": form})
        if self.tools:
            options["tools"] = self.functions()
        if self.tool_choice is not None:
            options["tool_choice"] = self.tool_choice
            if self.tool_choice.get("disable_parallel_tool_use"):
                options["parallel_tool_calls"] = False
        return cast("ChatKwargs", options)


async def answer_count(service: Service, body: CountBody) -> Mapping[str, Any]:
    """Return the number of a chat's tokens."""
    with await service.engine(body) as lease:
        engine, tools = lease.engine, body.functions()
        return {"input_tokens": await asyncio.to_thread(lambda: engine.count_tokens(body.chat(), tools=tools))}


async def answer_message(service: Service, body: MessagesBody) -> Mapping[str, Any]:
    """Return the message."""
    options = body.chat_options(service.options.timeout)
    with await service.engine(body) as lease:
        completion = await lease.engine.achat(body.chat(), **options)
    choice = completion.choices[0]
    return {**_head(service, body), "content": _blocks(choice), **_end(choice), "usage": _usage(completion.usage)}


def _head(service: Service, body: MessagesBody) -> dict[str, Any]:
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": service.model_name(body),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(Usage()),
    }


def _blocks(choice: CompletionChoice) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if choice.reasoning:
        blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": ""})
    if choice.text:
        blocks.append({"type": "text", "text": choice.text})
    for call in choice.tool_calls:
        arguments = read_arguments(call) or {}  # none if the tokens ran out
        blocks.append({"type": "tool_use", "id": call.id or new_id("toolu"), "name": call.name, "input": arguments})
    return blocks


def _end(choice: CompletionChoice) -> dict[str, Any]:
    reasons = {"length": "max_tokens", "tool_calls": "tool_use"}
    reason = "stop_sequence" if choice.stop_sequence else reasons.get(choice.finish_reason, "end_turn")
    return {"stop_reason": reason, "stop_sequence": choice.stop_sequence or None}


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the tokens; Anthropic does not count the cached ones among the input."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }


def stream_message(service: Service, body: MessagesBody) -> Chunks | None:
    """Return the events of a message, if the request asks for a stream."""
    return _events(service, body) if body.stream else None


async def _events(service: Service, body: MessagesBody) -> Chunks:
    options, blocks = body.chat_options(service.options.timeout), _Blocks()
    with await service.engine(body) as lease:
        async with lease.engine.astream_chat(body.chat(), **options) as stream:
            await stream.start()
            yield {"type": "message_start", "message": _head(service, body)}
            async for event in stream:
                for sent in blocks.add(event):
                    yield sent
            completion = await stream.result()
    yield {"type": "message_delta", "delta": _end(completion.choices[0]), "usage": _usage(completion.usage)}
    yield {"type": "message_stop"}


class _Blocks:
    """Turns the events of an answer into those of blocks, one after another."""

    def __init__(self) -> None:
        self._index = -1
        self._open: Any = None  # the kind of the open block; of a call, its number

    def add(self, event: Event) -> Iterator[dict[str, Any]]:
        if isinstance(event, TextDelta):
            if event.text:
                yield from self._block("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": event.text})
        elif isinstance(event, ReasoningDelta):
            yield from self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": event.text})
        elif isinstance(event, ToolCallDelta):
            call = {"type": "tool_use", "id": event.id or new_id("toolu"), "name": event.name, "input": {}}
            yield from self._block(event.call_index, call)
            if event.arguments:
                yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})
        elif isinstance(event, Finished):
            yield from self._close()

    def _block(self, kind: Any, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}
