"""Messages of a chat, from every form in which other providers, frameworks and stores keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xlc_core.errors import InvalidRequestError
from xlc_core.generation.content_blocks import Content, ContentReader, as_content, as_mapping, is_block
from xlc_core.generation.left_out import LeftOut
from xlc_core.messages import ImagePart, Message, TextPart, ToolCall
from xlc_core.texts import check_items, show_value

__all__ = ["MessageLike", "provider_fields", "read_history", "to_messages"]

MessageLike = Message | Mapping[str, Any]
"""A message, or a dictionary in the form of OpenAI, Anthropic or another provider."""

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "function": "tool",
}
"""Names of roles that other providers and frameworks use, and the role that they mean."""

_PROVIDER_KEYS = ("reasoning_content", "reasoning", "thinking", "refusal", "audio", "function_call")
"""Keys of messages in which frameworks keep what a provider has said outside the content."""

_REASONING = ("reasoning", "reasoning_content", "thinking", "reasoning_details", "thinking_blocks")

# Keys that tell messages apart in a store, or repeat what else is there.
_SILENT_KEYS = {
    *("id", "object", "type", "status", "index", "model", "created", "created_at", "updated_at", "timestamp", "date"),
    *("finish_reason", "stop_reason", "stop_sequence", "role", "content", "cache_control", "cache_breakpoint"),
    *("signature", "raw_tool_call_parts"),
}
# Keys that say nothing to the model, by the kind that a warning names.
_LEFT_OUT = {
    **dict.fromkeys(("annotations", "citations"), "citations"),
    **dict.fromkeys(
        (
            *("metadata", "additional_kwargs", "response_metadata", "usage", "usage_metadata", "logprobs", "example"),
            *("provider_specific_fields", "extra_content", "weight", "phase", "service_tier", "system_fingerprint"),
            *("reasoning_signature", "thought_signature", "encrypted_content", "reasoning_opaque", "reasoning_items"),
        ),
        "metadata",
    ),
}


def to_messages(messages: str | Sequence[MessageLike], *, is_part: bool = False) -> tuple[Message, ...]:
    """Return messages from Message objects, dictionaries in any provider's form, or one user's text.

    Args:
        messages: the chat, oldest first.
        is_part: whether it is a part of a chat that is only counted or shown, so that its last message is not the one
            to be answered.

    Raises:
        InvalidRequestError: a message has an unknown key, role or part; the text names the message.
    """
    if isinstance(messages, str):
        return (Message(role="user", content=messages),)
    items = check_items(messages, "the messages")
    return tuple(read_history(((f"message {i}", item) for i, item in enumerate(items)), len(items), is_part=is_part))


def provider_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a provider has said outside the content of a message, from what a framework has stored of it.

    Args:
        stored: the framework's fields beside the content.
    """
    return {name: stored[name] for name in _PROVIDER_KEYS if name in stored}


def read_history(entries: Iterable[tuple[str, Any]], n_messages: int, *, is_part: bool = False) -> list[Message]:
    """Read a chat, and warn once about each kind of thing that says nothing to the model.

    Args:
        entries: a name for error messages, such as ``"message 3"``, and the message: a Message, or a dictionary, for
            each one.
        n_messages: how many there are.
        is_part: as in to_messages.

    Returns:
        The messages. A message whose content holds results of tools becomes a tool message for each and one for the
        rest; items of OpenAI's Responses API become one message of the assistant's for all that belong together.

    Raises:
        InvalidRequestError: a message cannot be expressed. Its name comes first.
    """
    left_out = LeftOut()
    reader = _Reader(ContentReader(left_out), left_out)
    read: list[list[Message]] = []  # messages that are parts of one answer stand together
    joins = False
    for index, (place, entry) in enumerate(entries):
        try:
            item = entry if isinstance(entry, Message) else as_mapping(entry)
            found = reader.read(item, place, is_last=index == n_messages - 1 and not is_part)
        except InvalidRequestError as error:
            named = InvalidRequestError(f"{place}: {error}")
            named.message_index = index
            raise named from None
        is_item = isinstance(item, Mapping) and is_block(item)
        if read and found and (is_item or joins) and read[-1][-1].role == found[0].role == "assistant":
            read[-1].append(found.pop(0))
        read.extend([message] for message in found)
        joins = is_item
    left_out.warn()
    return [_joined(parts) for parts in read]


def _joined(parts: Sequence[Message]) -> Message:
    """Return one message of the assistant's for items that are parts of the same answer."""
    if len(parts) == 1:
        return parts[0]
    texts = [part.content for part in parts if part.content]
    return Message(
        role="assistant",
        content=texts[0] if len(texts) == 1 else "".join(text for text in texts if isinstance(text, str)),
        reasoning="".join(part.reasoning for part in parts),
        tool_calls=tuple(call for part in parts for call in part.tool_calls),
    )


class _Reader:
    def __init__(self, contents: ContentReader, left_out: LeftOut) -> None:
        self._contents = contents
        self._left_out = left_out

    def read(self, entry: Any, place: str, *, is_last: bool) -> list[Message]:
        if isinstance(entry, Message):
            return [entry]
        if not isinstance(entry, Mapping):
            raise InvalidRequestError(
                f"it is a {type(entry).__name__}; give a dict with 'role' and 'content', or a Message"
            )
        if is_block(entry):
            entry = {"role": "assistant", "content": [entry]}
        fields = {str(name): value for name, value in entry.items() if not _is_empty(value)}
        role = fields.get("role")
        role = _ROLES.get(role, role) if isinstance(role, str) else role
        content = self._contents.read(_content_of(fields), place, is_last=is_last)
        self._read_further_keys(fields, content, place, is_last, is_assistant=role == "assistant")
        if role != "assistant":
            self._leave_out_calls(content, place, is_last)
        known = {
            "role": role,
            "content": _joined_texts(content) if role == "assistant" else as_content(content.parts),
            "reasoning": "".join(content.thoughts),
            "tool_calls": tuple(content.calls),
            "tool_call_id": _take(fields, "tool_call_id"),
            "name": _take(fields, "name", "tool_name"),
        }
        message = Message.checked(**{name: v for name, v in known.items() if v not in (None, "", ())}, **fields)
        is_empty = not (message.content or message.reasoning or message.tool_calls)
        return [*content.results, *([] if content.results and is_empty else [message])]

    def _read_further_keys(
        self, fields: dict[str, Any], content: Content, place: str, is_last: bool, *, is_assistant: bool
    ) -> None:
        """Take the keys beside the content out of the fields. Those that stay are unknown."""
        for name in _REASONING:
            value = fields.pop(name, None)
            if value is not None and not isinstance(value, (str, list, tuple, Mapping)):
                raise InvalidRequestError(f"{name} is {show_value(value)}; give a text")
            if value is not None and not content.thoughts:
                content.thoughts += self._contents.read(_thinking_blocks(value), place).thoughts
        calls: list[ToolCall] = []
        for call in check_items(fields.pop("tool_calls", ()), "the tool calls"):
            self._contents.read_call(call, calls, place, is_last=is_last)
        if (call := fields.pop("function_call", None)) is not None and not calls:
            self._contents.read_call(call, calls, place, is_last=is_last)
        ids = {call.id for call in calls}
        content.calls = [*calls, *(call for call in content.calls if not calls or (call.id and call.id not in ids))]
        refusal, audio = fields.pop("refusal", None), fields.pop("audio", None)
        if not content.parts:
            spoken = audio.get("transcript") if isinstance(audio, Mapping) else None
            content.parts += self._contents.read([refusal or spoken], place).parts
        for image in check_items(fields.pop("images", ()), "the images"):  # as Ollama has them
            content.parts += [image] if isinstance(image, ImagePart) else self._image(image, place)
        for name in _SILENT_KEYS & fields.keys():
            del fields[name]
        for name in _LEFT_OUT.keys() & fields.keys():
            self._left_out.add(_LEFT_OUT[name], place)
            del fields[name]

    def _image(self, image: Any, place: str) -> list[Any]:
        return self._contents.read([{"type": "image_url", "image_url": _as_source(image)}], place, is_last=True).parts

    def _leave_out_calls(self, content: Content, place: str, is_last: bool) -> None:
        if not content.thoughts and not content.calls:
            return
        if is_last:
            raise InvalidRequestError("only an assistant's message can hold thinking and tool calls")
        self._left_out.add("thinking and tool calls in messages that are not the assistant's", place)
        content.thoughts, content.calls = [], []


def _is_empty(value: Any) -> bool:
    """Return whether a key's value says as much as if the key were missing."""
    return value is None or value is False or (isinstance(value, (str, list, tuple, dict)) and not value)


def _content_of(fields: dict[str, Any]) -> Any:
    content = fields.pop("content", None)
    return fields.pop("parts", None) if content is None else content  # as Google has it


def _take(fields: dict[str, Any], *names: str) -> Any:
    values = [fields.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)


def _thinking_blocks(value: str | Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    if isinstance(value, str):
        return [{"type": "thinking", "thinking": value}]
    return [{"type": "reasoning", **value}] if isinstance(value, Mapping) else list(value)


def _as_source(image: Any) -> Any:
    if isinstance(image, str) and not image.startswith(("data:", "http:", "https:")):
        return {"base64": image}
    return {"data": image} if isinstance(image, (bytes, bytearray)) else {"url": image}


def _joined_texts(content: Content) -> Any:
    """Return an assistant's content. Its texts are pieces of one answer, as providers cut it at citations."""
    if all(isinstance(part, TextPart) for part in content.parts):
        return "".join(part.text for part in content.parts if isinstance(part, TextPart))
    return as_content(content.parts)
