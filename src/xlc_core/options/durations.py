"""Durations as users of Ollama write them: seconds, or texts such as "5m"."""

from __future__ import annotations

import math
import re
from datetime import timedelta

__all__ = ["keep_alive_seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def keep_alive_seconds(value: float | str | timedelta) -> float:
    """Return how many seconds an engine that nobody uses stays open; −1 for ever.

    Args:
        value: seconds; a text such as ``"5m"`` or ``"1h30m"``, or one of a number of seconds; a timedelta. Any negative
            one means for ever.

    Raises:
        ValueError: it is something else.
    """
    seconds = _seconds_in(value) if isinstance(value, str) else value
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds is None or math.isnan(seconds):
        raise ValueError(f"keep_alive must be seconds or a text such as '5m', got {value!r}")
    return -1.0 if seconds < 0 or math.isinf(seconds) else float(seconds)


def _seconds_in(text: str) -> float | None:
    plain = text.strip().lower()
    sign = -1 if plain.startswith("-") else 1
    plain = plain.lstrip("+-")
    if _PART.sub("", plain) == "" and plain:
        return sign * sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(plain))
    try:
        return sign * float(plain)
    except ValueError:
        return None
