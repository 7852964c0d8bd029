"""Converts users' messages, tools and options to native objects, and native results back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from xlc_core import _native
from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.tool_arguments import ToolArguments
from xlc_core.constraints.tool_types import ToolSource
from xlc_core.errors import InvalidRequestError
from xlc_core.generation.media import decode_base64
from xlc_core.generation.tool_choice import ToolUse
from xlc_core.messages import AudioPart, ImagePart, MediaPart, Message, TextPart, Tool, ToolCall, VideoPart
from xlc_core.nesting import check_json_depth
from xlc_core.options.sampling import ChatOptions, SamplingOptions
from xlc_core.results import CompletionChoice, FinishReason, Timings, TokenLogprob
from xlc_core.texts import check_items, check_text, show_value, to_json

__all__ = [
    "MessageLike",
    "ToolLike",
    "to_chat_request",
    "to_choice",
    "to_messages",
    "to_parameters",
    "to_sampling",
    "to_token_logprob",
    "to_tools",
]

MessageLike = Message | Mapping[str, Any]
ToolLike = Tool | Mapping[str, Any] | ToolSource


def to_messages(messages: str | Sequence[MessageLike]) -> tuple[Message, ...]:
    """Return messages from Message objects, dictionaries in OpenAI's form, or one user's text.

    Raises:
        InvalidRequestError: a message has an unknown key, role or part; the text names the message.
    """
    if isinstance(messages, str):
        return (Message(role="user", content=messages),)
    return tuple(
        message if isinstance(message, Message) else _from_dict(message, index)
        for index, message in enumerate(check_items(messages, "the messages"))
    )


def _from_dict(message: Mapping[str, Any], index: int) -> Message:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"message {index} is a {type(message).__name__}; give a dict with 'role' and 'content', or a Message"
        )
    fields = dict(message)
    fields["content"] = _content(fields.get("content"), index)
    if "reasoning_content" in fields:
        fields["reasoning"] = fields.pop("reasoning_content") or ""
    if fields.get("tool_calls") is not None:
        fields["tool_calls"] = tuple(
            _tool_call(call, index) for call in check_items(fields["tool_calls"], f"the tool calls of message {index}")
        )
    fields = {name: value for name, value in fields.items() if value is not None}
    try:
        return Message.checked(**fields)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"message {index}: {error}") from None


def _content(content: Any, index: int) -> Any:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise InvalidRequestError(
            f"the content of message {index} is a {type(content).__name__}; give a text or a list of parts"
        )
    return tuple(_part(part, index) for part in content)


def _part(part: Any, index: int) -> Any:
    if isinstance(part, str):
        return TextPart(text=part)
    if isinstance(part, Mapping):
        kind = part.get("type")
        if kind == "text":
            return TextPart(text=check_text(part.get("text", ""), f"a text of message {index}"))
        if isinstance(kind, str) and kind in _OPENAI_MEDIA:
            return _openai_media(part, kind, index)
    return part


# OpenAI's names of media parts, and llama.cpp's name of video, which OpenAI does not have.
_OPENAI_MEDIA: dict[str, type[MediaPart]] = {
    "image_url": ImagePart,
    "input_audio": AudioPart,
    "input_video": VideoPart,
    "video_url": VideoPart,
}


def _openai_media(part: Mapping[str, Any], kind: str, index: int) -> MediaPart:
    value = part.get(kind)
    fields = {"url": value} if isinstance(value, str) else value
    try:
        if isinstance(fields, Mapping) and isinstance(fields.get("data"), str):
            return _OPENAI_MEDIA[kind](data=decode_base64(fields["data"]))
        if isinstance(fields, Mapping) and isinstance(fields.get("url"), str):
            return _OPENAI_MEDIA[kind](url=fields["url"])
    except InvalidRequestError as error:
        raise InvalidRequestError(f"message {index}: {error}") from None
    raise InvalidRequestError(f"message {index}: a part {kind!r} needs {{{kind!r}: {{'url': …}}}} or base64 in 'data'")


def _tool_call(call: Any, index: int) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequestError(
            f"message {index} has the tool call {show_value(call)}; "
            "give a ToolCall, or a dict with 'name' and 'arguments'"
        )
    arguments = function.get("arguments", "{}")
    return ToolCall.checked(
        id=call.get("id") or "",
        name=function["name"],
        arguments=arguments if isinstance(arguments, str) else to_json(arguments, _arguments_name(index)),
    )


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
    return Tool.checked(**{name: value for name, value in fields.items() if name != "strict"})


def _text(message: Message) -> str:
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
    for call in message.tool_calls:
        check_json_depth(call.arguments, _arguments_name(index))
    try:
        return _native.ChatMessage(
            role="system" if message.role == "developer" else message.role,
            content=_text(message),
            reasoning=message.reasoning,
            tool_call_id=message.tool_call_id,
            name=message.name,
            tool_calls=[_native.ChatToolCall(call.id, call.name, call.arguments) for call in message.tool_calls],
        )
    except TypeError:  # a text is not valid Unicode: which one?
        check_text(_text(message), f"message {index}")
        check_text(message.reasoning, f"the reasoning of message {index}")
        for call in message.tool_calls:
            check_text(call.arguments, f"a tool call of message {index}")
        for text in (
            message.tool_call_id,
            message.name,
            *(part for c in message.tool_calls for part in (c.id, c.name)),
        ):
            check_text(text, f"a name in message {index}")
        raise


def to_chat_request(
    messages: Sequence[Message], use: ToolUse, options: ChatOptions, arguments: Sequence[ToolArguments] = ()
) -> _native.ChatRequest:
    """Build the chat that the template is applied to. Markers stand where media belong.

    Args:
        messages: the chat.
        use: its tools.
        options: of the request.
        arguments: the arguments of the tools, if they may be called.

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
