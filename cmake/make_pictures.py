"""Makes the pictures of the documents. `make pictures` makes all of them.

    python cmake/make_pictures.py [--check]     # plots and diagrams; with --check, a stale one is an error
    python cmake/make_pictures.py terminal      # a terminal in which commands run
    PYTHONPATH=tests python cmake/make_pictures.py page     # the server's page in a browser

Plots come from benchmarks/results (plots.py). The terminal shows what the commands printed, and the page what a model
answered, when they were made. The SVG files have no scripts and no fonts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

import diagrams
import plots
from generated_file import write_or_compare

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"

COMMANDS = (
    r"printf 'Rates rose.\nLlamas eat grass.\n' | xllama rerank xllama-rerank-mini 'What do llamas eat?'",
    'python examples/rag_langchain.py --question "What happens when a request is cancelled?"',
)
COLUMNS = 100
SECONDS = 20.0


def main() -> int:
    """Make what the arguments name, and return the exit status."""
    if "terminal" in sys.argv:
        (PICTURES / "terminal.svg").write_text(terminal(), "utf-8")
        return 0
    if "page" in sys.argv:
        import page_pictures  # needs selenium

        page_pictures.take(ROOT / "docs" / "images")
        return 0
    return max(write_or_compare(PICTURES / name, text) for name, text in drawn().items())


def drawn() -> dict[str, str]:
    """Return the pictures that only files of the repository decide, by name."""
    return plots.drawn() | diagrams.drawn()


def terminal() -> str:
    """Run the commands, and return a picture in which their lines appear one after the other."""
    lines = [line for command in COMMANDS for line in (f"$ {command}", *output_of(command), "")]
    assert all(len(line) <= COLUMNS for line in lines), "a line is cut off"
    step = SECONDS * 0.8 / len(lines)
    height = 18 * len(lines) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="820" height="{height}" viewBox="0 0 820 {height}">',
        "<style>text { font: 13px ui-monospace, monospace; fill: #e6edf3; white-space: pre; opacity: 0;"
        " animation: shown 0.2s forwards } .typed { fill: #8c9eff } @keyframes shown { to { opacity: 1 } }"
        " @media (prefers-reduced-motion) { text { animation: none; opacity: 1 } }</style>",
        f'<rect width="820" height="{height}" rx="8" fill="#161b22"/>',
    ]
    for row, line in enumerate(lines):
        kind = ' class="typed"' if line.startswith("$ ") else ""
        place = f'x="14" y="{18 * row + 26}" style="animation-delay: {row * step:.1f}s"'
        parts.append(f"<text{kind} {place}>{escape(line)}</text>")
    return "\n".join([*parts, "</svg>", ""])


def output_of(command: str) -> list[str]:
    """Run a command with this interpreter's programs, and return its lines, wrapped to the picture's width."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        command, shell=True, cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "PATH": programs},
    )  # fmt: skip
    wrapped = []
    for line in done.stdout.expandtabs(4).strip().splitlines():
        wrapped += re.findall(rf".{{1,{COLUMNS}}}(?:\s+|$)", line) or [""]
    return [line.rstrip() for line in wrapped]


if __name__ == "__main__":
    sys.exit(main())
