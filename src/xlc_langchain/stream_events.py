"""Converts the engine's events into LangChain's content-block events, for ``stream_events(version="v3")``.

langchain-core can also make them from chunks, and then closes all blocks at the end of the message. Made from the
engine's own events, each block closes as soon as the next one begins, so that a tool call can run while the next one is
still being generated.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from langchain_core.utils.utils import LC_ID_PREFIX

from xlc_core import Finished, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_langchain.results import PROVIDER, logprobs_of, response_metadata_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.callbacks import BaseRunManager
    from langchain_protocol.protocol import MessagesData

    from xlc_core import Event, TokenLogprob

__all__ = ["EventWriter", "message_id"]


def message_id(run_manager: BaseRunManager | None) -> str | None:
    """Return the id that LangChain gives the message of a run; None outside a run."""
    return None if run_manager is None else f"{LC_ID_PREFIX}-{run_manager.run_id}"


class EventWriter:
    """Turns the events of one answer into those of the protocol, in order."""

    def __init__(self) -> None:
        self._index = -1
        self._open: _Block | None = None
        self._logprobs: list[TokenLogprob] = []

    def start(self, message_id: str | None, model: str) -> MessagesData:
        """Return the event that opens the message.

        Args:
            message_id: LangChain's id of the message; None outside a run.
            model: the model's name.
        """
        metadata = {"provider": PROVIDER, "model": model}
        return _event("message-start", role="ai", id=message_id or "", metadata=metadata)

    def write(self, event: Event) -> Iterator[MessagesData]:
        """Yield the events that an event of the engine becomes: none, one or several."""
        if isinstance(event, TextDelta):
            self._logprobs += event.logprobs
            yield from self._grow(("text",), {"type": "text", "text": ""}, event.text)
        elif isinstance(event, ReasoningDelta):
            yield from self._grow(("reasoning",), {"type": "reasoning", "reasoning": ""}, event.text)
        elif isinstance(event, ToolCallDelta):
            skeleton = {
                "type": "tool_call_chunk",
                "id": event.id or None,
                "name": event.name or None,
                "args": "",
                "index": event.call_index,
            }
            yield from self._grow(("call", event.call_index), skeleton, event.arguments)
        elif isinstance(event, Finished):
            yield from self._close()
            yield self._finish(event)

    def _grow(self, key: tuple[Any, ...], skeleton: dict[str, Any], text: str) -> Iterator[MessagesData]:
        if self._open is None or self._open.key != key:
            yield from self._close()
            self._index += 1
            self._open = _Block(key, skeleton)
            yield _event("content-block-start", index=self._index, content=dict(skeleton))
        if text:
            self._open.text += text
            yield _event("content-block-delta", index=self._index, delta=self._open.delta(text))

    def _close(self) -> Iterator[MessagesData]:
        if self._open is not None:
            yield _event("content-block-finish", index=self._index, content=self._open.finished())
            self._open = None

    def _finish(self, event: Finished) -> MessagesData:
        completion = event.completion
        metadata = response_metadata_of(completion.choices[0], completion)
        if self._logprobs:
            metadata["logprobs"] = logprobs_of(self._logprobs)
        return _event("message-finish", usage=usage_of(completion.usage), metadata=metadata)


class _Block:
    """A content block that is not finished."""

    def __init__(self, key: tuple[Any, ...], skeleton: dict[str, Any]) -> None:
        self.key = key
        self.text = ""
        self._skeleton = skeleton

    def delta(self, text: str) -> dict[str, Any]:
        kind = self._skeleton["type"]
        if kind == "tool_call_chunk":
            return {"type": "tool-call-delta", "args": text}
        return {"type": f"{kind}-delta", kind: text}

    def finished(self) -> dict[str, Any]:
        kind = self._skeleton["type"]
        if kind != "tool_call_chunk":
            return {"type": kind, kind: self.text}
        call = {"id": self._skeleton["id"] or "", "name": self._skeleton["name"] or ""}
        try:
            arguments = json.loads(self.text or "{}")
            if not isinstance(arguments, dict):
                raise ValueError(f"the arguments must be an object, got {type(arguments).__name__}")
        except ValueError as error:  # cut off
            return {"type": "invalid_tool_call", **call, "args": self.text, "error": str(error)}
        return {"type": "tool_call", **call, "args": arguments}


def _event(name: str, **fields: Any) -> MessagesData:
    return cast("MessagesData", {"event": name, **fields})
