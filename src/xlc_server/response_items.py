"""The items of a response: thinking, messages and calls; whole, or as the events in which a stream writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xlc_core import CompletionChoice, Event, Finished, ReasoningDelta, TextDelta, TokenLogprob, ToolCall, ToolCallDelta
from xlc_core.frameworks import chat_logprobs
from xlc_server.service import new_id

__all__ = ["ResponseItems", "output_items"]


def output_items(choice: CompletionChoice, n_top: int | None) -> list[dict[str, Any]]:
    """Return the items of a whole answer.

    Args:
        choice: the answer.
        n_top: how many of the likeliest tokens at each place were asked for; None: no log-probabilities at all.
    """
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    items: list[dict[str, Any]] = []
    if choice.reasoning:
        part: dict[str, Any] = {"type": "reasoning_text", "text": choice.reasoning}
        items.append({**_empty("reasoning"), "content": [part], "status": "completed"})
    if choice.text or not choice.tool_calls:
        part = {**_text_part(choice.text), "logprobs": _logprobs(choice.logprobs, n_top)}
        items.append({**_empty("message"), "content": [part], "status": status})
    items += [_call(call, status) for call in choice.tool_calls]
    return items


def _call(call: ToolCall, status: str) -> dict[str, Any]:
    own = {"call_id": call.id or new_id("call"), "name": call.name, "arguments": call.arguments}
    return {**_empty("function_call"), **own, "status": status}


def _empty(kind: str) -> dict[str, Any]:
    """Return an item that has not been written yet."""
    if kind == "message":
        return {"id": new_id("msg"), "type": kind, "role": "assistant", "status": "in_progress", "content": []}
    if kind == "reasoning":
        return {"id": new_id("rs"), "type": kind, "summary": [], "content": [], "status": "in_progress"}
    return {"id": new_id("fc"), "type": kind, "status": "in_progress", "call_id": "", "name": "", "arguments": ""}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _logprobs(tokens: Sequence[TokenLogprob], n_top: int | None) -> list[dict[str, Any]]:
    found = None if n_top is None else chat_logprobs(tokens, n_top)
    return [] if found is None else list(found["content"])


class ResponseItems:
    """Turns the events of an answer into those of a response.

    Attributes:
        output: the items so far; the last one may be incomplete.
    """

    def __init__(self, n_top: int | None) -> None:
        self.output: list[dict[str, Any]] = []
        self._n_top = n_top
        self._call_index = -1
        self._is_open = False

    def add(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield what an event of the engine becomes."""
        if isinstance(event, TextDelta):
            if event.text:
                yield from self._add_text(event)
        elif isinstance(event, ReasoningDelta):
            yield from self._open("reasoning")
            yield self._delta("response.reasoning_text.delta", event.text, content_index=0)
            self._part["text"] += event.text
        elif isinstance(event, ToolCallDelta):
            yield from self._add_call(event)
        elif isinstance(event, Finished):
            if not self.output:
                yield from self._open("message")
            yield from self._close("incomplete" if event.completion.finish_reason == "length" else "completed")

    @property
    def _item(self) -> dict[str, Any]:
        return self.output[-1]

    @property
    def _part(self) -> dict[str, Any]:
        part: dict[str, Any] = self._item["content"][0]
        return part

    def _place(self, **further: Any) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": len(self.output) - 1, **further}

    def _delta(self, kind: str, text: str, **further: Any) -> dict[str, Any]:
        return {"type": kind, "delta": text, **self._place(**further)}

    def _add_text(self, event: TextDelta) -> Iterator[dict[str, Any]]:
        yield from self._open("message")
        logprobs = _logprobs(event.logprobs, self._n_top)
        yield self._delta("response.output_text.delta", event.text, content_index=0, logprobs=logprobs)
        self._part["text"] += event.text
        self._part["logprobs"] += logprobs

    def _add_call(self, event: ToolCallDelta) -> Iterator[dict[str, Any]]:
        if event.call_index != self._call_index:
            self._call_index = event.call_index
            yield from self._open("function_call", call_id=event.id or new_id("call"), name=event.name)
        if event.arguments:
            yield self._delta("response.function_call_arguments.delta", event.arguments)
            self._item["arguments"] += event.arguments

    def _open(self, kind: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Begin an item, unless the current one is of this kind."""
        if self._is_open and self._item["type"] == kind and not fields:
            return
        yield from self._close("completed")
        self.output.append({**_empty(kind), **fields})
        self._is_open = True
        # The item changes while it is written, so events have copies.
        yield {"type": "response.output_item.added", "output_index": len(self.output) - 1, "item": _copy(self._item)}
        if kind != "function_call":
            part = _text_part("") if kind == "message" else {"type": "reasoning_text", "text": ""}
            self._item["content"].append(part)
            yield {"type": "response.content_part.added", **self._place(content_index=0), "part": dict(part)}

    def _close(self, status: str) -> Iterator[dict[str, Any]]:
        if not self._is_open:
            return
        self._is_open = False
        item = self._item
        item["status"] = status
        if item["type"] == "function_call":
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **self._place(), **done}
        else:
            part, place = dict(self._part), self._place(content_index=0)
            is_text = item["type"] == "message"
            name = "response.output_text.done" if is_text else "response.reasoning_text.done"
            logprobs = {"logprobs": part["logprobs"]} if is_text else {}
            yield {"type": name, **place, "text": part["text"], **logprobs}
            yield {"type": "response.content_part.done", **place, "part": part}
        yield {"type": "response.output_item.done", "output_index": len(self.output) - 1, "item": _copy(item)}


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "content": [dict(part) for part in item["content"]]} if "content" in item else dict(item)
