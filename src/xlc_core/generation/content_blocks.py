"""The content of messages, in the forms of all providers: OpenAI, Anthropic, Google, Bedrock, Ollama, LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xlc_core.errors import InvalidRequestError
from xlc_core.generation.left_out import LeftOut
from xlc_core.generation.media_blocks import (
    MEDIA_KINDS,
    OpaqueReferenceError,
    is_own_form,
    read_document,
    read_media,
)
from xlc_core.messages import MediaPart, Message, TextPart, ToolCall
from xlc_core.texts import check_text, show_value, to_json

__all__ = ["ARGUMENTS", "Content", "ContentReader", "as_mapping", "is_block", "read_call"]

ARGUMENTS = "the arguments of a tool call"

# The kinds of blocks of Bedrock and Google, which have no type, by the one key that holds a block.
_UNTYPED = {
    "text": "text",
    "image": "image",
    "audio": "audio",
    "video": "video",
    "document": "document",
    "json": "json",
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "reasoningContent": "reasoning_content",
    "guardContent": "guard_content",
    "cachePoint": "cache_point",
    "citationsContent": "citations_content",
    "inlineData": "inline_data",
    "inline_data": "inline_data",
    "fileData": "file_data",
    "file_data": "file_data",
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_response",
    "function_response": "function_response",
    "executableCode": "executable_code",
    "executable_code": "executable_code",
    "codeExecutionResult": "code_execution_result",
    "code_execution_result": "code_execution_result",
}

_TEXTS = {"text", "input_text", "output_text", "text-plain", "plain_text", "refusal", "summary_text", "compaction"}
_THOUGHTS = {
    *("thinking", "reasoning", "reasoning_content", "reasoning_text", "thinking_delta"),
    *("reasoning.text", "reasoning.summary"),
}
_CALLS = {"tool_use", "tool_call", "function_call", "custom_tool_call", "invalid_tool_call", "function"}
_RESULTS = {"tool_result", "function_call_output", "custom_tool_call_output", "function_response"}
_DOCUMENTS = {"file", "input_file", "document", "file_data", "inline_data", "media"}
_NESTED = {"guard_content", "citations_content", "search_result", "non_standard", "content", "message"}

# Blocks that say nothing to another model, by the kinds that a warning names. Half a call of a stream is in the
# message's calls too, so that no word is lost.
_SILENT = {"tool_call_chunk", "input_json_delta", "input_json", "signature_delta", "redacted_thinking", ""}
_SILENT_KEYS = {"thoughtSignature", "thought_signature", "videoMetadata", "video_metadata", "cache_control", "index"}
_LEFT_OUT = {
    "cache_point": "cache points",
    "cachePoint": "cache points",
    "reasoning.encrypted": "encrypted thinking",
    "item_reference": "references to items at the provider",
    "container_upload": "references to files at the provider",
    "executable_code": "calls of tools that ran at the provider",
    "code_execution_result": "calls of tools that ran at the provider",
    "server_tool_use": "calls of tools that ran at the provider",
    "mcp_list_tools": "calls of tools that ran at the provider",
    "mcp_approval_request": "calls of tools that ran at the provider",
    "mcp_approval_response": "calls of tools that ran at the provider",
}
_SERVER_TOOLS = ("_call", "_call_output", "_tool_result", "_tool_use", "_tool_call", "_tool_call_chunk")
_CITATIONS = ("citations", "annotations")

_CALL_IDS = ("call_id", "id", "tool_call_id", "toolUseId", "tool_use_id", "tool_id")
_CALL_NAMES = ("name", "tool_name")
_CALL_ARGUMENTS = ("arguments", "args", "input", "tool_kwargs", "parameters")


@dataclass
class Content:
    """The parts of a message's content.

    Attributes:
        parts: texts and media, in order; a mapping for a medium in our own form.
        thoughts: the assistant's thinking.
        calls: calls of tools.
        results: tool messages that stand in another message's content.
    """

    parts: list[TextPart | MediaPart | Mapping[str, Any]] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)


def as_mapping(value: Any) -> Any:
    """Return an object of a provider's package as a dictionary, and all else unchanged."""
    if isinstance(value, (Mapping, str)) or not callable(dump := getattr(value, "model_dump", None)):
        return value
    return dump()


def is_block(item: Mapping[str, Any]) -> bool:
    """Return whether a dictionary is an item of OpenAI's Responses API that is not a message."""
    kind = item.get("type")
    return "role" not in item and isinstance(kind, str) and kind != "message" and _is_known(kind)


def read_call(value: Any) -> ToolCall | None:
    """Return a call of a tool in any provider's form; None if no tool is named in it.

    Raises:
        InvalidRequestError: it is not a call, or its arguments cannot be written as JSON.
    """
    if isinstance(value, ToolCall):
        return value
    call = as_mapping(value)
    function = as_mapping(call.get("function", call)) if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise _not_a_call(value)
    name = _first(function, _CALL_NAMES)
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise _not_a_call(value)
    arguments = _first(function, _CALL_ARGUMENTS)
    return ToolCall.checked(
        id=_text(_first(call, _CALL_IDS)) if _first(call, _CALL_IDS) is not None else "",
        name=name,
        arguments=arguments
        if isinstance(arguments, str)
        else to_json({} if arguments is None else arguments, ARGUMENTS),
    )


def _not_a_call(value: Any) -> InvalidRequestError:
    return InvalidRequestError(
        f"it has the tool call {show_value(value)}; give a ToolCall, or a dict with 'name' and 'arguments'"
    )


def _first(mapping: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((mapping[name] for name in names if mapping.get(name) is not None), None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return check_text(value, "a text in its content")


def _is_known(kind: str) -> bool:
    known = _TEXTS | _THOUGHTS | _CALLS | _RESULTS | _DOCUMENTS | _NESTED | _SILENT
    return kind in known or kind in MEDIA_KINDS or kind in _LEFT_OUT or _ran_elsewhere(kind)


def _ran_elsewhere(kind: str) -> bool:
    return kind.endswith(_SERVER_TOOLS) or kind.startswith(("server_tool", "mcp_"))


class ContentReader:
    """Reads the contents of the messages of one chat.

    Args:
        left_out: remembers the kinds of blocks that are left out.
    """

    def __init__(self, left_out: LeftOut) -> None:
        self._left_out = left_out

    def read(self, content: Any, place: str, *, is_last: bool = False) -> Content:
        """Read a content.

        Args:
            content: a text, a list of blocks and texts, or None.
            place: names the message in warnings.
            is_last: whether it is the message to be answered, in which nothing may be missing.

        Raises:
            InvalidRequestError: it holds what the model cannot be told. The text does not name the message.
        """
        out = Content()
        if isinstance(content, str):
            out.parts.append(TextPart(text=_text(content)))
        elif isinstance(content, Mapping) or not isinstance(content, (Sequence, type(None))):
            raise InvalidRequestError(f"the content is a {type(content).__name__}; give a text or a list of parts")
        else:
            for block in content or ():
                self._read_block(block, out, place, is_last)
        return out

    def read_call(self, value: Any, calls: list[ToolCall], place: str, *, is_last: bool = False) -> None:
        """Add a call of a tool to the calls. One that does not name a tool, as of a broken stream, is left out.

        Raises:
            InvalidRequestError: it is not a call.
        """
        call = read_call(value)
        if call is not None:
            calls.append(call)
        elif is_last:
            raise _not_a_call(value)
        else:
            self._left_out.add("calls that do not name a tool", place)

    def _read_block(self, block: Any, out: Content, place: str, is_last: bool) -> None:
        if block is None or block == {}:
            return
        if isinstance(block, str):
            out.parts.append(TextPart(text=_text(block)))
            return
        if isinstance(block, TextPart | MediaPart):
            out.parts.append(block)
            return
        block = as_mapping(block)
        if not isinstance(block, Mapping):
            raise InvalidRequestError(f"it holds a {type(block).__name__}; give texts, images, sounds or videos")
        kind, inner = _kind_of(block)
        if kind == "text-plain" and not isinstance(block.get("text"), str):
            kind = "document"
        if is_own_form(block):
            out.parts.append(block)
        elif kind in _TEXTS:
            self._read_text(block if kind != "text" or "type" in block else inner, block, out, place)
        elif kind in _THOUGHTS:
            out.thoughts.extend(_thoughts(inner))
        elif kind in _CALLS:
            self.read_call(block if "type" in block else inner, out.calls, place, is_last=is_last)
        elif kind in _RESULTS:
            out.results.append(self._result(inner, place, is_last))
        elif kind == "json":
            out.parts.append(TextPart(text=to_json(inner, "a JSON value in its content")))
        elif kind in _NESTED:
            self._read_nested(inner, out, place, is_last)
        else:
            self._read_file(kind, inner, out, place, is_last)

    def _read_text(self, holder: Any, block: Mapping[str, Any], out: Content, place: str) -> None:
        text = holder if isinstance(holder, str) else _first(block, ("text", "refusal", "content"))
        if block.get("thought") is True:  # as Google marks thinking
            out.thoughts.append(_text(text))
            return
        self._leave_out_citations(block, place)
        if text is not None and text != "":
            out.parts.append(TextPart(text=_text(text)))

    def _leave_out_citations(self, block: Mapping[str, Any], place: str) -> None:
        if any(isinstance(block.get(name), list) and block[name] for name in _CITATIONS):
            self._left_out.add("citations", place)

    def _read_nested(self, inner: Any, out: Content, place: str, is_last: bool) -> None:
        """Read a block that holds others, or one text."""
        if isinstance(inner, Mapping):
            self._leave_out_citations(inner, place)
            if isinstance(inner.get("title"), str) and "content" in inner:  # a search result
                out.parts.append(TextPart(text=_text(inner["title"])))
            inner = next((inner[name] for name in ("value", "content", "text") if name in inner), [])
        for one in inner if isinstance(inner, list) else [inner]:
            self._read_block(one, out, place, is_last)

    def _read_file(self, kind: str, inner: Any, out: Content, place: str, is_last: bool) -> None:
        if kind in _SILENT:
            return
        if kind in _LEFT_OUT or _ran_elsewhere(kind):
            self._left_out.add(_LEFT_OUT.get(kind, "calls of tools that ran at the provider"), place)
            return
        if not isinstance(inner, Mapping):
            inner = {"url": inner} if isinstance(inner, str) else {"data": inner}
        source = inner.get("source")
        try:
            if kind in MEDIA_KINDS:
                out.parts.append(read_media(inner, kind))
            elif kind not in _DOCUMENTS:
                raise InvalidRequestError(f"it cannot hold a block {kind!r}; give text, images, sounds or videos")
            elif isinstance(source, Mapping) and isinstance(source.get("content"), (list, str)):
                self._read_nested(source["content"], out, place, is_last)
            else:
                out.parts.append(read_document(inner))
        except OpaqueReferenceError:
            if is_last:
                raise
            self._left_out.add("references to files at the provider", place)

    def _result(self, inner: Any, place: str, is_last: bool) -> Message:
        """Return the message of a tool's result that stands among the blocks of another message."""
        if not isinstance(inner, Mapping):
            raise InvalidRequestError(f"it has the tool result {show_value(inner)}; give a dict with 'content'")
        content = _first(inner, ("content", "output", "response"))
        if isinstance(content, Mapping):
            content = to_json(content, "the result of a tool")
        read = self.read(content, place, is_last=is_last)
        name = _first(inner, _CALL_NAMES)
        return Message.checked(
            role="tool",
            content=as_content(read.parts),
            tool_call_id=_text(_first(inner, ("tool_use_id", "call_id", "toolUseId", "tool_call_id", "id"))),
            name=_text(name),
        )


def as_content(parts: Sequence[Any]) -> Any:
    """Return the parts as a message's content: one text, or all of them."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return tuple(parts)


def _kind_of(block: Mapping[str, Any]) -> tuple[str, Any]:
    """Return what a block is, and the value that holds it."""
    kind = block.get("type")
    if isinstance(kind, str):
        inner = block.get(kind)
        return kind, inner if isinstance(inner, (Mapping, list)) or (kind in MEDIA_KINDS and inner) else block
    if kind is None:
        for name, meaning in _UNTYPED.items():
            if name in block:
                return meaning, block[name]
        if block.keys() <= _SILENT_KEYS:
            return "", block
    raise InvalidRequestError(
        f"it holds the block {show_value(dict(block))}; its 'type' must name one that providers use, such as 'text'"
    )


def _thoughts(inner: Any) -> list[str]:
    """Return the texts of a block of thinking."""
    if isinstance(inner, str):
        return [_text(inner)]
    if isinstance(inner, list):
        return [thought for one in inner for thought in _thoughts(one)]
    if not isinstance(inner, Mapping):
        return []
    for name in ("thinking", "reasoning", "text", "content", "summary", "reasoningText", "reasoning_text"):
        if inner.get(name):
            return _thoughts(inner[name])
    return []
