"""Warnings about parts of a chat that say nothing to the model: one for each kind, however often it occurs."""

from __future__ import annotations

import warnings

__all__ = ["LeftOut"]


class LeftOut:
    """The kinds of things that were left out of one chat."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def add(self, kind: str, place: str) -> None:
        """Remember a kind, such as ``"citations"``, and the place where it was first found."""
        self._kinds.setdefault(kind, place)

    def warn(self) -> None:
        """Warn about each kind once."""
        for kind, place in self._kinds.items():
            warnings.warn(f"{place}: {kind} are left out, as they say nothing to this model", stacklevel=2)
