"""``/v1/responses``: OpenAI's Responses API, without anything that would have to be stored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, model_validator
from typing_extensions import Self

from xlc_core import ChatKwargs, ChatOptions, Completion, InvalidRequestError, Usage
from xlc_core.frameworks import read_response_format
from xlc_server.chat import allowed_tools
from xlc_server.response_items import ResponseItems, output_items
from xlc_server.sampling import GenerationBody
from xlc_server.sending import Chunks
from xlc_server.service import Service, new_id

__all__ = ["ResponsesBody", "answer_response", "stream_response"]

_LOGPROBS = "message.output_text.logprobs"


class ResponsesBody(GenerationBody):
    """A request of the Responses API."""

    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=0)
    text: dict[str, Any] = Field(default_factory=dict)
    reasoning: dict[str, Any] = Field(default_factory=dict)
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: list[str] = Field(default_factory=list)
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    truncation: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool = False
    max_tool_calls: int | None = None

    @classmethod
    def _options_class(cls) -> type[ChatOptions]:
        return ChatOptions

    @model_validator(mode="after")
    def _refuse_stored_things(self) -> Self:
        for name in ("previous_response_id", "conversation", "prompt", "background"):
            if getattr(self, name):
                raise ValueError(f"{name}: this server stores nothing; send the whole conversation as input")
        for tool in self.tools:
            if tool.get("type") != "function":
                raise ValueError(f"tools: this server has functions only, not {str(tool.get('type'))!r:.50}")
        if self.n != 1:
            raise ValueError("n: a response has one answer")
        return self

    def messages(self) -> list[dict[str, Any]]:
        """Return the chat. Items that are not messages are calls, their results, and thinking."""
        items = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        return [*([{"role": "system", "content": self.instructions}] if self.instructions else []), *items]

    @property
    def n_top(self) -> int | None:
        """How many of the likeliest tokens at each place are asked for; None: no log-probabilities at all."""
        return self.top_logprobs or 0 if _LOGPROBS in self.include else None

    def chat_options(self, timeout: float | None) -> ChatKwargs:
        """Return the options of the engine."""
        options = self.options(timeout)
        if self.max_output_tokens is not None:
            options["max_tokens"] = self.max_output_tokens
        if self.n_top is not None:
            options["logprobs"] = max(1, self.n_top)
        form = self.text.get("format")
        if form is not None:
            if not isinstance(form, Mapping):
                raise InvalidRequestError("text: its format must be an object")
            options["constraint"] = read_response_format({"type": form.get("type"), "json_schema": form})
        template = dict(self.template_kwargs)
        effort = self.reasoning.get("effort")
        if effort == "none":
            options["thinking"] = False
        elif effort is not None:
            template["reasoning_effort"] = effort
        if template:
            options["template_kwargs"] = template
        tools, choice = allowed_tools(self.tools, self.tool_choice)
        if tools:
            options["tools"] = [{"type": "function", "function": _function(tool)} for tool in tools]
        if choice is not None:
            options["tool_choice"] = choice
        if self.parallel_tool_calls is not None:
            options["parallel_tool_calls"] = self.parallel_tool_calls
        return cast("ChatKwargs", options)


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None}


def _head(service: Service, body: ResponsesBody) -> dict[str, Any]:
    """Return the response before its answer."""
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": time.time(),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": service.model_name(body),
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.get("effort"), "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": {"format": body.text.get("format") or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
    }


def _finished(head: Mapping[str, Any], output: list[dict[str, Any]], completion: Completion) -> dict[str, Any]:
    is_cut = completion.finish_reason == "length"
    return {
        **head,
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": output,
        "usage": _usage(completion.usage),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


async def answer_response(service: Service, body: ResponsesBody) -> Mapping[str, Any]:
    """Return the response."""
    head, options = _head(service, body), body.chat_options(service.options.timeout)
    with await service.engine(body) as lease:
        completion = await lease.engine.achat(body.messages(), **options)
    return _finished(head, output_items(completion.choices[0], body.n_top), completion)


def stream_response(service: Service, body: ResponsesBody) -> Chunks | None:
    """Return the events of a response, if the request asks for a stream."""
    return _events(service, body) if body.stream else None


async def _events(service: Service, body: ResponsesBody) -> Chunks:
    head, options = _head(service, body), body.chat_options(service.options.timeout)
    items = ResponseItems(body.n_top)
    n_sent = 0
    with await service.engine(body) as lease:
        async with lease.engine.astream_chat(body.messages(), **options) as stream:
            await stream.start()
            for name in ("response.created", "response.in_progress"):
                yield {"type": name, "response": head, "sequence_number": n_sent}
                n_sent += 1
            async for event in stream:
                for sent in items.add(event):
                    yield {**sent, "sequence_number": n_sent}
                    n_sent += 1
            completion = await stream.result()
    response = _finished(head, items.output, completion)
    yield {"type": f"response.{response['status']}", "response": response, "sequence_number": n_sent}
