"""Converts messages, tools and options to native objects, and native results back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from xlc_core import _native
from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.tool_arguments import ToolArguments
from xlc_core.constraints.tool_types import ToolSource
from xlc_core.errors import InvalidRequestError
from xlc_core.generation.call_arguments import as_object
from xlc_core.generation.tool_choice import ToolUse
from xlc_core.messages import Message, TextPart, Tool, ToolCall
from xlc_core.options.sampling import ChatOptions, SamplingOptions
from xlc_core.results import CompletionChoice, FinishReason, Timings, TokenLogprob
from xlc_core.texts import check_items, check_text, show_value, to_json

__all__ = [
    "ToolLike",
    "text_of",
    "to_chat_request",
    "to_choice",
    "to_parameters",
    "to_sampling",
    "to_token_logprob",
    "to_tools",
]

ToolLike = Tool | Mapping[str, Any] | ToolSource
"""A tool, a dictionary in OpenAI's form, or a function or type from which a tool is made."""


def _arguments_name(index: int) -> str:
    return f"the arguments of a tool call of message {index}"


def to_tools(tools: Sequence[ToolLike]) -> tuple[Tool, ...]:
    """Return tools from Tool objects, functions, types, or dictionaries in OpenAI's form or plain."""
    read = []
    for tool in check_items(tools, "the tools"):
        if isinstance(tool, Tool):
            read.append(tool)
        elif callable(tool):
            read.append(Tool.of(tool))
        elif not isinstance(tool, Mapping):
            raise InvalidRequestError(
                f"a tool is a {type(tool).__name__}; give a Tool, a function, a type, or a dict in OpenAI's form"
            )
        elif tool.get("type") == "function" and "function" in tool:
            read.append(_tool(tool["function"]))
        else:
            read.append(_tool(tool))
    for name, n in Counter(tool.name for tool in read).items():
        if n > 1:
            raise InvalidRequestError(f"two tools are called {name!r}; give each its own name")
    return tuple(read)


def _tool(fields: Any) -> Tool:
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
        raise InvalidRequestError(
            f"a tool's function is {show_value(fields)}; give a dict with 'name' and 'parameters'"
        )
    if isinstance(name := fields.get("name"), str) and "\0" in check_text(name, "a tool's name"):
        raise InvalidRequestError(f"a tool's name has a NUL character, got {name!r}")
    return Tool.checked(**{name: value for name, value in fields.items() if name != "strict"})


def text_of(message: Message) -> str:
    """Join the parts of a message like llama.cpp: with a new line between texts, but not around media."""
    if isinstance(message.content, str):
        return message.content
    marker = _native.media_marker()
    text = ""
    after_media = True
    for part in message.content:
        if isinstance(part, TextPart):
            text += part.text if after_media else f"\n{part.text}"
        else:
            text += marker
        after_media = not isinstance(part, TextPart)
    return text


def _native_message(message: Message, index: int) -> _native.ChatMessage:
    arguments = [as_object(call.arguments, _arguments_name(index)) for call in message.tool_calls]
    try:
        return _native.ChatMessage(
            role="system" if message.role == "developer" else message.role,
            content=text_of(message),
            reasoning=message.reasoning,
            tool_call_id=message.tool_call_id,
            name=message.name,
            tool_calls=[
                _native.ChatToolCall(call.id, call.name, text)
                for call, text in zip(message.tool_calls, arguments, strict=True)
            ],
        )
    except TypeError:  # a text is not valid Unicode: which one?
        check_text(text_of(message), f"message {index}")
        check_text(message.reasoning, f"the reasoning of message {index}")
        for text in (
            message.tool_call_id,
            message.name,
            *(part for c in message.tool_calls for part in (c.id, c.name)),
        ):
            check_text(text, f"a name in message {index}")
        raise


def to_chat_request(
    messages: Sequence[Message],
    use: ToolUse,
    options: ChatOptions,
    arguments: Sequence[ToolArguments] = (),
    *,
    is_part: bool = False,
) -> _native.ChatRequest:
    """Build the chat that the template is applied to. Markers stand where media belong.

    Args:
        messages: the chat.
        use: its tools.
        options: of the request.
        arguments: the arguments of the tools, if they may be called.
        is_part: whether it is a part of a chat that no answer follows.

    Raises:
        InvalidRequestError: a text cannot be encoded.
    """
    parallel = options.parallel_tool_calls
    simple_schemas = {one.name: one.simple_schema for one in arguments}
    return _native.ChatRequest(
        messages=[_native_message(message, index) for index, message in enumerate(messages)],
        tools=[_native_tool(tool, simple_schemas.get(tool.name, _ANY_ARGUMENTS)) for tool in use.tools],
        tool_choice=use.choice,
        parallel_tool_calls=False if use.is_named and parallel is None else parallel,
        thinking=options.thinking,
        thinking_budget=options.thinking_budget,
        thinking_budget_message=options.thinking_budget_message,
        reasoning_format=options.reasoning_format,
        template_kwargs={
            name: to_json(value, f"template_kwargs[{name!r}]") for name, value in options.template_kwargs.items()
        },
        parse_special=bool(options.parse_special),
        is_part=is_part,
    )


def to_parameters(tool: Tool) -> str:
    """Return the schema of a tool's parameters as JSON text."""
    return to_json(tool.parameters, f"the parameters of the tool {tool.name!r}")


def _native_tool(tool: Tool, simple_schema: str) -> _native.ChatTool:
    parameters = to_parameters(tool)
    try:
        return _native.ChatTool(tool.name, tool.description, parameters, simple_schema)
    except TypeError:
        for text in (tool.name, tool.description, parameters):
            check_text(text, f"the tool {tool.name!r}")
        raise


_ANY_ARGUMENTS = '{"type": "object", "properties": {}}'


# Fields of SamplingOptions that are converted for the native object.
_CONVERTED_FIELDS = {"stop", "logit_bias", "cache_prompt"}
_COPIED_FIELDS = SamplingOptions.model_fields.keys() - _CONVERTED_FIELDS


def to_sampling(options: SamplingOptions) -> _native.SamplingParams:
    """Build the native sampling parameters. Fields that are not set stay at llama.cpp's defaults.

    The options have checked that their texts can be encoded.
    """
    fields: dict[str, Any] = {}
    for name in options.model_fields_set & _COPIED_FIELDS:
        value = getattr(options, name)
        if value is not None:
            fields[name] = list(value) if isinstance(value, tuple) else value
    if options.stop:
        fields["stop"] = list(options.stop)
    if options.logit_bias:
        fields["logit_bias"] = [_token_bias(token, bias) for token, bias in options.logit_bias.items()]
    # A cached prompt is computed in other batches than a fresh one, and their rounding differs.
    fields["cache_prompt"] = options.seed is None if options.cache_prompt is None else options.cache_prompt
    return _native.SamplingParams(**fields)


def _token_bias(token: int | str, bias: float) -> _native.TokenBias:
    strength = float("-inf") if bias is False else bias
    if isinstance(token, int):
        return _native.TokenBias(token, "", strength)
    return _native.TokenBias(None, token, strength)


def to_token_logprob(token: _native.TokenProbability) -> TokenLogprob:
    """Return one token's probability and those of its alternatives."""
    return TokenLogprob(
        token=token.text,
        id=token.token,
        logprob=token.logprob,
        top=tuple(to_token_logprob(candidate) for candidate in token.top),
        bytes=token.bytes,
    )


def to_choice(result: _native.ChoiceResult, constraint: Constraint | None) -> CompletionChoice:
    """Return one finished answer."""
    return CompletionChoice(
        text=result.text,
        reasoning=result.reasoning,
        tool_calls=tuple(ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in result.tool_calls),
        finish_reason=cast("FinishReason", result.finish_reason),
        stop_sequence=result.stop_sequence,
        logprobs=tuple(to_token_logprob(token) for token in result.logprobs),
        timings=Timings(
            prompt_seconds=result.prompt_seconds,
            prompt_tokens=result.n_processed_tokens,
            generation_seconds=result.generation_seconds,
            generation_tokens=result.n_generated_tokens,
            draft_tokens=result.n_draft_tokens,
            draft_accepted=result.n_draft_accepted,
            draft_steps=result.n_draft_steps,
        ),
        constraint=constraint,
    )
