"""Writing progress to stderr, which programs replace, close or do not have (pythonw, services, notebooks)."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["SafeStderr", "has_stderr", "is_terminal", "new_bar"]


def is_terminal(stream: Any) -> bool:
    """Return whether a stream such as ``sys.stderr`` is a terminal. A stream may be None, closed or without isatty."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def has_stderr() -> bool:
    """Return whether this process has a stderr that other programs can write to."""
    try:
        os.fstat(2)
    except OSError:
        return False
    return True


class SafeStderr:
    """stderr as it is now, for progress bars: what cannot be written is dropped, so that no work fails for its bar."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self.encoding = getattr(self._stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        self._call("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if it can be flushed."""
        self._call("flush")

    def isatty(self) -> bool:
        """Return whether stderr is a terminal."""
        return is_terminal(self._stream)

    def fileno(self) -> int:
        """Return stderr's number; the width of the terminal is asked for with it."""
        return self._stream.fileno()

    def _call(self, name: str, *arguments: str) -> None:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # UnicodeError is a ValueError
            getattr(self._stream, name)(*arguments)


def new_bar(**options: Any) -> tqdm[Any]:
    """Return a progress bar on stderr, which is silent where stderr cannot be written.

    Args:
        **options: tqdm's.
    """
    from tqdm import tqdm

    return tqdm(file=SafeStderr(), **options)
