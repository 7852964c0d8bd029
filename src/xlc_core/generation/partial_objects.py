"""The growing object of a streamed JSON answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from xlc_core.events import Event, Finished, TextDelta

__all__ = ["apartial_objects", "partial_objects"]


class _Growing:
    """Parses JSON text as it comes, and reports when the object has grown."""

    def __init__(self) -> None:
        self._text = ""
        self._shown: Any = None

    def grown(self, event: Event) -> bool:
        """Receive an event. Return whether ``value`` has changed."""
        if isinstance(event, Finished):
            return self._show(event.parsed)
        if not isinstance(event, TextDelta) or event.index != 0:
            return False
        self._text += event.text
        try:
            return self._show(from_json(self._text, allow_partial="trailing-strings"))
        except ValueError:  # the text does not begin a value yet
            return False

    def _show(self, value: Any) -> bool:
        changed = value is not None and (type(value) is not type(self._shown) or value != self._shown)
        self._shown = value
        return changed

    @property
    def value(self) -> Any:
        """The object so far, as plain dicts, lists and scalars; at the end the constraint's parsed result."""
        return self._shown


def partial_objects(events: Iterable[Event]) -> Iterator[Any]:
    """Yield the object of a JSON answer each time it has grown.

    The text so far is parsed again at each event, so the time grows with the square of its length.

    Args:
        events: a stream of an answer under a JsonSchema or JsonObject constraint; of ``n`` answers, the first one.

    Yields:
        plain dicts, lists and scalars, with unfinished strings; last, the constraint's parsed result, such as an
        instance of a pydantic model.

    Raises:
        ValueError: the answer was cut off.
    """
    growing = _Growing()
    for event in events:
        if growing.grown(event):
            yield growing.value


async def apartial_objects(events: AsyncIterable[Event]) -> AsyncIterator[Any]:
    """Yield the object of a JSON answer each time it has grown; see partial_objects."""
    growing = _Growing()
    async for event in events:
        if growing.grown(event):
            yield growing.value
