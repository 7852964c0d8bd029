"""Answers, tables, sizes and progress bars of the command."""

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

    from xlc_core.generation.streams import EventStream
    from xlc_core.results import Completion

__all__ = [
    "AnswerWriter",
    "allow_any_output",
    "new_table",
    "note",
    "progress_bar",
    "readable_size",
    "result_console",
]

_WIDTH_IN_PIPES = 160  # wide enough that no table is cut without a terminal
# A terminal obeys these, and the text is a model's: they could move the cursor, or set the title.
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class AnswerWriter:
    """Writes an answer to stdout while it is generated, and thinking to stderr if that is a terminal.

    Attributes:
        text: what the answer has so far.
    """

    def __init__(self, *, silent: bool = False) -> None:
        """Begin.

        Args:
            silent: only collect the text.
        """
        self.text = ""
        self._silent = silent
        self._escapes = is_terminal(sys.stdout)

    def write(self, stream: EventStream) -> Completion | None:
        """Write all texts of a stream, and a line's end. Returns None if Ctrl+C stopped it."""
        from xlc_core.events import Finished, ReasoningDelta, TextDelta

        thinks = False
        completion = None
        try:
            for event in stream:
                if isinstance(event, ReasoningDelta) and is_terminal(sys.stderr) and not self._silent:
                    thinks = True
                    _dim(event.text, end="")
                elif isinstance(event, TextDelta):
                    if thinks:
                        thinks = False
                        _dim("")
                    self._add(event.text)
                elif isinstance(event, Finished):
                    completion = event.completion
        except KeyboardInterrupt:
            stream.close()
        if not self._silent:
            print(flush=True)
        return completion

    def _add(self, text: str) -> None:
        self.text += text
        if not self._silent:
            print(text.translate(_CONTROLS) if self._escapes else text, end="", flush=True)


def note(text: str) -> None:
    """Write a line about the work to stderr, dimmed on a terminal."""
    _dim(text)


def _dim(text: str, end: str = "\n") -> None:
    from rich.console import Console
    from rich.text import Text

    shown = text.translate(_CONTROLS) if is_terminal(sys.stderr) else text
    Console(stderr=True, highlight=False).print(Text(shown, "dim"), end=end, soft_wrap=True)


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
