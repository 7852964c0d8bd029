"""Converts a request of DSPy's into a chat of the engine's: messages, tools and options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dspy import lm15

import xlc_core as xlc
from xlc_core.frameworks import close_schema, read_response_format, read_schema, read_token_bias, thinking_options
from xlc_dspy.errors import PROVIDER

__all__ = ["GRAMMAR", "OUTPUTS", "Chat", "to_chat"]

GRAMMAR = "xllama_lark"
"""Name of the response format that is a grammar of ``xlc_core.Lark``, for which DSPy has no form. An engine that takes
it lists it in ``supported_params``."""

OUTPUTS = "DSPyProgramOutputs"
"""DSPy's name for the schema of a signature's output fields. A type checks such answers, so hints may stay hints."""

_LARGEST_SEED = 0xFFFF_FFFE

_SAME_NAMES = ("max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "logprobs")

_NOT_HERE = ("service_tier", "user_id", "store")
"""Settings of a provider's service, which have no meaning in this process."""

_HINTS = ("metadata", "verbosity", "moderation", "provider", "prediction")
"""Further settings of that kind, which DSPy passes on as extensions."""

_MEDIA: dict[type, type[xlc.ImagePart | xlc.AudioPart | xlc.VideoPart]] = {
    lm15.ImagePart: xlc.ImagePart,
    lm15.AudioPart: xlc.AudioPart,
    lm15.VideoPart: xlc.VideoPart,
}


@dataclass(frozen=True)
class Chat:
    """A request as the engine takes it.

    Attributes:
        messages: the chat, oldest first.
        options: fields of ``xlc_core.ChatOptions``.
        adaptations: settings that have no effect here, as DSPy records them in its history.
    """

    messages: tuple[xlc.Message, ...]
    options: dict[str, Any]
    adaptations: tuple[lm15.Adaptation, ...] = ()


def to_chat(request: lm15.Request) -> Chat:
    """Convert a request.

    Raises:
        lm15.UnsupportedFeatureError: it has a part, a tool or a setting that a model in this process cannot have.
        InvalidRequestError: its response format or a setting has a value that cannot be honoured.
    """
    config = request.config
    options = {name: value for name in _SAME_NAMES if (value := getattr(config, name)) is not None}
    if config.logprobs == 0:  # only the answer's own tokens, for which the engine's 0 returns nothing
        options["logprobs"] = 1
    if config.stop:
        options["stop"] = config.stop
    if config.seed is not None:
        options["seed"] = config.seed % (_LARGEST_SEED + 1)
    if config.response_format is not None:
        options["constraint"] = _constraint(config.response_format)
    options.update(_tool_options(request))
    options.update(_reasoning_options(config.reasoning))
    if config.cache is not None and config.cache.mode == "off":
        options["cache_prompt"] = False
    extensions = {name: value for name, value in (config.extensions or {}).items() if name not in _HINTS}
    if isinstance(bias := extensions.get("logit_bias"), dict):
        extensions["logit_bias"] = read_token_bias(bias)
    return Chat(tuple(_messages(request)), {**extensions, **options}, tuple(_adaptations(config)))


def _messages(request: lm15.Request) -> Iterator[xlc.Message]:
    if isinstance(request.system, str):
        yield xlc.Message(role="system", content=request.system)
    elif request.system is not None:
        yield xlc.Message(role="system", content=_content(request.system, "system"))
    for index, message in enumerate(request.messages):
        place = f"messages[{index}]"
        if message.role == "assistant":
            yield _answer(message, place)
        elif message.role == "tool":
            yield from (_result(part, f"{place}.parts[{n}]") for n, part in enumerate(message.parts))
        else:
            yield xlc.Message(role=message.role, content=_content(message.parts, place))


def _result(part: lm15.ToolResultPart, place: str) -> xlc.Message:
    content = _content(part.content, place)
    return xlc.Message(role="tool", content=content, tool_call_id=part.id, name=part.name or "")


def _answer(message: lm15.Message, place: str) -> xlc.Message:
    """Return a message of the assistant's. Citations say nothing to the model."""
    calls = [part for part in message.parts if isinstance(part, lm15.ToolCallPart)]
    thoughts = [part.text for part in message.parts if isinstance(part, lm15.ThinkingPart)]
    skipped = (lm15.ToolCallPart, lm15.ThinkingPart, lm15.CitationPart)
    return xlc.Message(
        role="assistant",
        content=_content([part for part in message.parts if not isinstance(part, skipped)], place),
        reasoning="".join(thoughts),
        tool_calls=tuple(
            xlc.ToolCall(id=call.id, name=call.name, arguments=json.dumps(call.input, ensure_ascii=False))
            for call in calls
        ),
    )


def _content(parts: Sequence[lm15.Part], place: str) -> str | tuple[Any, ...]:
    converted = tuple(_part(part, f"{place}.parts[{index}]") for index, part in enumerate(parts))
    if not converted:
        return ""
    only = converted[0]
    return only.text if len(converted) == 1 and isinstance(only, xlc.TextPart) else converted


def _part(part: lm15.Part, place: str) -> xlc.TextPart | xlc.MediaPart:
    if isinstance(part, (lm15.TextPart, lm15.RefusalPart)):
        return xlc.TextPart(text=part.text)
    if isinstance(part, lm15.CitationPart):
        return xlc.TextPart(text=part.text or part.title or part.url)
    if isinstance(part, lm15.DataPart):
        return xlc.TextPart(text=json.dumps(part.value, ensure_ascii=False))
    kind = _MEDIA.get(type(part))
    if kind is None:
        raise _unsupported(f"a part of the type {part.type!r} cannot be read here; give its text", place)
    if part.file_id is not None:
        raise _unsupported("a file of a provider's cannot be read here; give its bytes, path or URL", place)
    if part.url is not None:
        return kind(url=part.url)
    return kind(path=part.path) if part.path is not None else kind(data=part.bytes)


def _constraint(response_format: dict[str, Any]) -> xlc.Constraint | None:
    if response_format["type"] != "json_schema":
        return read_response_format(response_format)
    schema = response_format["schema"]
    if response_format.get("name") == GRAMMAR:
        return xlc.Lark(schema[GRAMMAR], tuple(schema["text_ends"]))
    if response_format.get("name") == OUTPUTS:
        return xlc.JsonSchema.checked_elsewhere(close_schema(schema))
    return read_schema(schema)


def _tool_options(request: lm15.Request) -> dict[str, Any]:
    """Return the tools and their choice. The model is shown those that it may call only."""
    choice = request.config.tool_choice or lm15.ToolChoice()
    tools = [_tool(tool) for tool in request.tools if not choice.allowed or tool.name in choice.allowed]
    if not tools:
        return {}
    options: dict[str, Any] = {"tools": tuple(tools), "tool_choice": choice.mode}
    if choice.parallel is not None:
        options["parallel_tool_calls"] = choice.parallel
    return options


def _tool(tool: lm15.FunctionTool | lm15.BuiltinTool) -> xlc.Tool:
    if isinstance(tool, lm15.BuiltinTool):
        raise _unsupported(f"{tool.name!r} runs at a provider only; give a function instead", f"tools[{tool.name}]")
    parameters = close_schema(tool.parameters)
    return xlc.Tool(name=tool.name, description=tool.description or "", parameters=parameters)


def _reasoning_options(reasoning: lm15.Reasoning | None) -> dict[str, Any]:
    if reasoning is None or reasoning.is_off:
        return thinking_options(reasoning and "none")
    options = thinking_options(reasoning.effort)
    if reasoning.thinking_budget is not None:
        options["thinking_budget"] = reasoning.thinking_budget
    return options


def _adaptations(config: lm15.Config) -> Iterator[lm15.Adaptation]:
    """Yield the settings that have no effect here.

    Raises:
        lm15.UnsupportedFeatureError: the caller's program depends on one of them.
    """
    given = {f"config.{name}": getattr(config, name) for name in _NOT_HERE}
    given |= {f"config.extensions.{name}": (config.extensions or {}).get(name) for name in _HINTS}
    if config.cache is not None:
        if config.cache.resource is not None:
            raise _unsupported("caches are not stored by name here", "config.cache.resource")
        given |= {f"config.cache.{name}": getattr(config.cache, name) for name in ("retention", "key")}
    if config.probabilities == "required":
        raise _unsupported("distributions are measured by xlc_dspy.XLlamaDecision", "config.probabilities")
    if config.probabilities == "if_available":
        given["config.probabilities"] = config.probabilities
    yield from (_dropped(field, value) for field, value in given.items() if value is not None)


def _dropped(field: str, value: Any) -> lm15.Adaptation:
    return lm15.Adaptation(field=field, action="dropped", reason="the model runs inside this process", asked=value)


def _unsupported(reason: str, feature: str) -> lm15.UnsupportedFeatureError:
    return lm15.UnsupportedFeatureError(f"{feature}: {reason}", feature=feature, provider=PROVIDER)
