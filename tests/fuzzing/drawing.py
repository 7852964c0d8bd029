"""Values that are drawn from bytes: the same bytes make the same value, and more of them a larger one."""

from __future__ import annotations

from typing import Any

__all__ = ["Source"]

NUMBERS: tuple[Any, ...] = (0, 1, -1, 2, 0.5, -0.0, 1e308, 2**31, 2**63, -(2**64), 10**400, float("nan"), float("inf"))
KINDS = 9


class Source:
    """Draws from bytes until they are used up; then it draws zeros.

    Args:
        data: the bytes.
        words: texts that are likely to matter, such as keywords.
    """

    def __init__(self, data: bytes, words: tuple[str, ...] = ()) -> None:
        self._data = data
        self._at = 0
        self._words = words

    def byte(self) -> int:
        """Return the next byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def is_empty(self) -> bool:
        """Return whether all bytes are used."""
        return self._at >= len(self._data)

    def rest(self) -> bytes:
        """Return the bytes that are left."""
        left = self._data[self._at :]
        self._at = len(self._data)
        return left

    def text(self) -> str:
        """Return a word, or a text that may hold lone surrogates."""
        length = self.byte()
        if length >= 128 and self._words:
            return self._words[(length - 128) % len(self._words)]
        raw = bytes(self.byte() for _ in range(length % 64))
        return raw.decode(errors="surrogateescape")

    def value(self, depth: int = 3) -> Any:
        """Return a value of any type."""
        kind = self.byte() % (KINDS if depth else KINDS - 3)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.byte() % 2)
        if kind == 2:
            return NUMBERS[self.byte() % len(NUMBERS)]
        if kind == 3:
            return int.from_bytes(bytes([self.byte(), self.byte()]), "little", signed=True)
        if kind == 4:
            return bytes([self.byte()])
        if kind == 5:
            return self.text()
        if kind == 6:
            return {self.text(): self.value(depth - 1) for _ in range(self.byte() % 5)}
        if kind == 7:
            return [self.value(depth - 1) for _ in range(self.byte() % 5)]
        return tuple(self.value(depth - 1) for _ in range(self.byte() % 3))

    def changed(self, value: Any) -> Any:
        """Return a copy of nested dictionaries and lists in which some places have other values or are missing."""
        how = self.byte() % 16
        if how == 1:
            return self.value()
        if isinstance(value, dict):
            kept = {name: self.changed(part) for name, part in value.items() if self.byte() % 16 != 1}
            return {**kept, self.text(): self.value()} if how == 2 else kept
        if isinstance(value, list):
            kept_items = [self.changed(part) for part in value if self.byte() % 16 != 1]
            return [*kept_items, self.value()] if how == 2 else kept_items
        return self.text() if how == 2 else value
