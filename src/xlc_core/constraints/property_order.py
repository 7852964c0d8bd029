"""Checks whether a JSON text would be accepted with its properties in another order.

llguidance accepts properties in the schema's order only, and properties that the schema does not name after them. In
JSON Schema the order means nothing: a text that is accepted in some order is the same value, so it is valid.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlc_core import _native

__all__ = ["accepted_in_some_order"]

MAX_TRIES = 200
MAX_BYTES = 100_000  # read in all tries together; llguidance reads about 100,000 to 500,000 in a second


class _Object:
    """A JSON object as a list of its properties."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.entries = list(pairs)
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a property is written twice, so its order matters")


@dataclass
class _Key:
    """Position of a property's key in a text, in bytes."""

    owner: _Object
    index: int
    start: int
    end: int


class _Writer:
    """Writes a value as text and records its keys."""

    def __init__(self, value: Any) -> None:
        self.keys: list[_Key] = []
        self._parts: list[str] = []
        self._n_bytes = 0
        self._write(value)
        self.text = "".join(self._parts)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._n_bytes += len(text.encode())

    def _write(self, value: Any) -> None:
        if isinstance(value, _Object):
            self._put("{")
            for i, (name, part) in enumerate(value.entries):
                self._put("," if i else "")
                start = self._n_bytes
                self._put(_plain(name))
                self.keys.append(_Key(value, i, start, self._n_bytes))
                self._put(":")
                self._write(part)
            self._put("}")
        elif isinstance(value, list):
            self._put("[")
            for i, part in enumerate(value):
                self._put("," if i else "")
                self._write(part)
            self._put("]")
        else:
            self._put(value if isinstance(value, _Number) else _plain(value))


class _Number(str):
    """A number as it was written."""


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def accepted_in_some_order(explain: Callable[[str], _native.Explanation], text: str) -> bool:
    """Return whether a text is accepted, in its own order or in another one that a short search finds.

    Args:
        explain: returns how far a text is accepted.
        text: should be JSON.
    """
    found = explain(text)
    if found.accepted:
        return True
    try:
        value = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
        )
        _Writer(value).text.encode()
    except (ValueError, RecursionError):  # not JSON, or half a surrogate pair
        return False
    return _Search(explain, value).succeeds()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Search:
    """Moves one property at a time to where it is accepted."""

    def __init__(self, explain: Callable[[str], _native.Explanation], value: Any) -> None:
        self._explain = explain
        self._value = value
        self._n_left = MAX_TRIES
        self._n_bytes_left = MAX_BYTES

    def succeeds(self) -> bool:
        """Return whether an accepted order was found."""
        while True:
            written = _Writer(self._value)
            found = self._explain(written.text)
            if found.accepted:
                return True
            # The text is refused at a key, or at the comma before it if the object had to end there.
            stuck = next((key for key in written.keys if key.start - (key.index > 0) <= found.n_bytes < key.end), None)
            if stuck is None or not self._move(stuck, found, written.text.encode()):
                return False

    def _move(self, stuck: _Key, found: _native.Explanation, text: bytes) -> bool:
        entries = stuck.owner.entries
        # The property may belong further to the front ...
        for i in reversed(range(stuck.index)):
            if self._gets_past(stuck, stuck.index, i, stuck.end + 1):
                return True
        # ... or one of the later properties belongs here.
        read = text[stuck.start : found.n_bytes]
        for i in range(stuck.index + 1, len(entries)):
            key = _plain(entries[i][0]).encode()
            fits = key.startswith(read) and any(key[len(read) :].startswith(next_) for next_ in found.expected)
            if fits and self._gets_past(stuck, i, stuck.index, stuck.start + len(key)):
                return True
        return False

    def _gets_past(self, stuck: _Key, source: int, target: int, n_bytes: int) -> bool:
        """Try a move; undo it unless the text is then accepted for at least ``n_bytes``."""
        if self._n_left <= 0 or self._n_bytes_left <= 0:
            return False
        self._n_left -= 1
        self._n_bytes_left -= n_bytes
        entries = stuck.owner.entries
        before = list(entries)
        entries.insert(target, entries.pop(source))
        if self._explain(_Writer(self._value).text).n_bytes >= n_bytes:
            return True
        entries[:] = before
        return False
