"""Tables, sizes and progress bars of the command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["new_table", "progress_bar", "readable_size", "result_console"]

_WIDTH_IN_PIPES = 160  # wide enough that no table is cut without a terminal


def result_console() -> Console:
    """Return a console for results: stdout, as wide as the terminal, or 160 columns in a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH_IN_PIPES, highlight=False)


def new_table() -> Table:
    """Return an empty table without lines."""
    from rich.table import Table

    return Table(box=None, header_style="bold", pad_edge=False)


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[float], object]]:
    """Show a bar on stderr, and yield a function that sets the progress, 0 … 1."""
    from tqdm import tqdm

    with tqdm(total=100, desc=description, unit="%", leave=False, disable=None) as bar:
        yield lambda done: bar.update(round(done * 100) - bar.n)


def readable_size(n_bytes: int) -> str:
    """Return a number of bytes as MB, or as GB from 10⁹."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
