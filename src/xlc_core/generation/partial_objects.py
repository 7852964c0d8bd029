"""The object that a streamed JSON answer is growing into."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from xlc_core.events import Event, Finished, TextDelta

__all__ = ["apartial_objects", "partial_objects"]


class _Growing:
    """Reads JSON text as it comes and says when there is more of an object to show."""

    def __init__(self) -> None:
        self._text = ""
        self._shown: Any = None

    def grown(self, event: Event) -> bool:
        """Take an event; whether ``value`` has changed."""
        if isinstance(event, Finished):
            return self._show(event.parsed)
        if not isinstance(event, TextDelta) or event.index != 0:
            return False
        self._text += event.text
        try:
            return self._show(from_json(self._text, allow_partial="trailing-strings"))
        except ValueError:  # nothing that could begin a value yet
            return False

    def _show(self, value: Any) -> bool:
        changed = value is not None and (type(value) is not type(self._shown) or value != self._shown)
        self._shown = value
        return changed

    @property
    def value(self) -> Any:
        """What is there so far: plain dicts, lists and scalars, and at the end what the constraint makes of it."""
        return self._shown


def partial_objects(events: Iterable[Event]) -> Iterator[Any]:
    """Yield the object of a JSON answer as it grows, each time there is more of it.

    Args:
        events: a stream of an answer under a JsonSchema or JsonObject constraint.

    Yields:
        plain dicts, lists and scalars, unfinished strings included; last, what the constraint makes of the whole
        answer, such as the instance of a pydantic model.

    Raises:
        ValueError: the answer was cut off before it was whole.
    """
    growing = _Growing()
    for event in events:
        if growing.grown(event):
            yield growing.value


async def apartial_objects(events: AsyncIterable[Event]) -> AsyncIterator[Any]:
    """Yield the object of a JSON answer as it grows; as partial_objects."""
    growing = _Growing()
    async for event in events:
        if growing.grown(event):
            yield growing.value
