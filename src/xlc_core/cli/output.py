"""Tables, sizes and progress bars of the command."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from xlc_core.terminal import is_terminal, new_bar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["allow_any_output", "new_table", "progress_bar", "readable_size", "result_console"]

_WIDTH_IN_PIPES = 160  # wide enough that no table is cut without a terminal


def allow_any_output() -> None:
    """Write escapes for characters that stdout's encoding does not have. Bytes of file names stay as they are."""
    codecs.register_error("xllama", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in {"strict", "surrogateescape"}:
        sys.stdout.reconfigure(errors="xllama")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def result_console() -> Console:
    """Return a console for results: stdout, as wide as the terminal, or 160 columns in a pipe."""
    from rich.console import Console

    return Console(width=None if is_terminal(sys.stdout) else _WIDTH_IN_PIPES, highlight=False)


def new_table() -> Table:
    """Return an empty table without lines."""
    from rich.table import Table

    return Table(box=None, header_style="bold", pad_edge=False)


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[float], object]]:
    """Show a bar on stderr, and yield a function that sets the progress, 0 … 1."""
    with new_bar(total=100, desc=description, unit="%", leave=False, disable=None) as bar:
        yield lambda done: bar.update(round(done * 100) - bar.n)


def readable_size(n_bytes: int) -> str:
    """Return a number of bytes as MB, or as GB from 10⁹."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
