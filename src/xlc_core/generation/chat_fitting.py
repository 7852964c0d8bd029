"""Other forms of a chat, for chat templates that refuse or ignore parts of it. No text of the chat is lost in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xlc_core.generation.call_arguments import as_object
from xlc_core.messages import Message, TextPart, ToolCall

__all__ = ["find_orphans", "is_system", "other_forms"]

NO_RESULT = "(no result)"
"""Stands for the result of a call that was never answered, where a template demands one."""


def is_system(message: Message) -> bool:
    """Return whether a message is the system's, under either of its names."""
    return message.role in ("system", "developer")


def other_forms(messages: Sequence[Message]) -> Iterator[tuple[str, list[Message]]]:
    """Yield the chat in other forms, the nearest one first.

    Args:
        messages: the chat.

    Yields:
        what was changed, for a warning, and the chat: with one system message, at the start; then also with turns that
        alternate and with a result for every call; then also with calls and results as texts; then also without a
        system message.
    """
    joined = _with_one_system(messages)
    if joined != list(messages):
        yield "system messages were joined at the start", joined
    arranged = _alternating(_paired(joined))
    if arranged != joined:
        yield "messages were joined so that turns alternate, and calls and results were paired", arranged
    plain = _alternating(_as_texts(joined))
    if plain != arranged:
        yield "calls and results of tools were written as texts in turns that alternate", plain
    if plain and is_system(plain[0]):
        first = plain[0].model_copy(update={"role": "user"})
        yield "system messages were joined with the user's first", _alternating([first, *plain[1:]])


def find_orphans(messages: Sequence[Message]) -> list[int]:
    """Return the places of tool messages that do not answer a call right before them."""
    orphans = []
    open_calls = 0
    for index, message in enumerate(messages):
        if message.role != "tool":
            open_calls = len(message.tool_calls) if message.role == "assistant" else 0
        elif open_calls == 0:
            orphans.append(index)
        else:
            open_calls -= 1
    return orphans


def _with_one_system(messages: Sequence[Message]) -> list[Message]:
    system = [message for message in messages if is_system(message)]
    rest = [message for message in messages if not is_system(message)]
    return [_join(system), *rest] if system else rest


def _join(messages: Sequence[Message]) -> Message:
    """Return one message for several of the same role."""
    first = messages[0]
    if len(messages) == 1:
        return first
    return first.model_copy(
        update={
            "content": _join_contents([message.content for message in messages]),
            "reasoning": "\n\n".join(message.reasoning for message in messages if message.reasoning),
            "tool_calls": tuple(call for message in messages for call in message.tool_calls),
            "name": first.name if all(message.name == first.name for message in messages) else "",
        }
    )


def _join_contents(contents: Sequence[Any]) -> Any:
    filled = [content for content in contents if content]
    if all(isinstance(content, str) for content in filled):
        return "\n\n".join(filled)
    return tuple(
        part for content in filled for part in ((TextPart(text=content),) if isinstance(content, str) else content)
    )


class _OpenCalls:
    """The calls of one message that no result has answered yet, with ids that every template takes."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}
        self._by_id: dict[str, list[int]] = {}
        self._n_calls = 0

    def open(self, message: Message) -> Message:
        """Return the message with the calls' new ids; the calls are open then."""
        calls = []
        self._by_id = {}
        for call in message.tool_calls:
            self._n_calls += 1
            # Mistral's templates demand nine letters and digits.
            calls.append(call.model_copy(update={"id": f"call{self._n_calls:05d}"}))
            self._calls[self._n_calls] = calls[-1]
            self._by_id.setdefault(call.id, []).append(self._n_calls)
        return message.model_copy(update={"tool_calls": tuple(calls)})

    def answer(self, result: Message) -> Message | None:
        """Return the result with its call's new id and name; None if it belongs to no open call."""
        same_id = self._by_id.get(result.tool_call_id, [])
        if not same_id:
            has_ids = any(self._by_id)
            if not self._calls or (result.tool_call_id and has_ids):
                return None
        number = same_id.pop(0) if same_id else next(iter(self._calls))
        call = self._calls.pop(number, None)
        return None if call is None else _result_of(call, result)

    def close(self) -> list[Message]:
        """Return results for the calls that are still open."""
        left = [_result_of(call, Message(role="tool", content=NO_RESULT)) for call in self._calls.values()]
        self._calls.clear()
        return left


def _paired(messages: Sequence[Message]) -> list[Message]:
    """Return the chat with results right after their calls, one for each, and ids that every template takes."""
    out: list[Message] = []
    calls = _OpenCalls()
    for message in messages:
        if message.role == "tool":
            answer = calls.answer(message)
            out += [answer] if answer is not None else [*calls.close(), _as_user(message)]
            continue
        out += calls.close()
        out.append(calls.open(message) if message.role == "assistant" and message.tool_calls else message)
    if out and out[-1].role == "tool":  # a chat that ends with calls stays one that ends with calls
        out += calls.close()
    return out


def _result_of(call: ToolCall, message: Message) -> Message:
    return message.model_copy(update={"tool_call_id": call.id, "name": message.name or call.name})


def _as_user(result: Message) -> Message:
    title = f"Result of the tool {result.name}:" if result.name else "Result of a tool:"
    content = result.content
    titled: Any = f"{title}\n{content}" if isinstance(content, str) else (TextPart(text=title), *content)
    return Message(role="user", content=titled)


def _as_texts(messages: Sequence[Message]) -> list[Message]:
    """Return the chat with calls and results as texts; calls as Hermes' models were trained with them."""
    out = []
    for message in messages:
        if message.role == "tool":
            out.append(_as_user(message))
        elif message.tool_calls:
            calls = "\n".join(_as_text(call) for call in message.tool_calls)
            content = _join_contents([message.content, calls])
            out.append(message.model_copy(update={"content": content, "tool_calls": ()}))
        else:
            out.append(message)
    return out


def _as_text(call: ToolCall) -> str:
    arguments = as_object(call.arguments, f"the arguments of a call of {call.name!r}")
    return f'<tool_call>\n{{"name": "{call.name}", "arguments": {arguments}}}\n</tool_call>'


def _alternating(messages: Sequence[Message]) -> list[Message]:
    """Return the chat with neighbours of the same role joined, and a user's message first."""
    runs: list[list[Message]] = []
    for index, message in enumerate(messages):
        is_last = index == len(messages) - 1
        if message.role == "assistant" and not (message.content or message.tool_calls or message.reasoning or is_last):
            continue
        before = runs[-1][-1] if runs else None
        if before is not None and before.role == message.role and message.role != "tool" and not before.tool_calls:
            runs[-1].append(message)
        else:
            runs.append([message])
    out = [_join(run) for run in runs]
    n_system = sum(map(is_system, out))
    if n_system == len(out) or out[n_system].role != "user":
        out.insert(n_system, Message(role="user"))
    return out
