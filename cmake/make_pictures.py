"""Draw the pictures of the documents: a terminal in which commands run, and speed and memory beside others.

    python cmake/make_pictures.py [--check]     # the figures
    python cmake/make_pictures.py terminal

The figures come from the tables of docs/benchmarks.md; with --check, stale ones are an error. The terminal shows what
the commands printed when it was drawn. Both are SVG files without scripts and fonts, for light and dark pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

from generated_file import write_or_compare

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"

COMMANDS = (
    r"printf 'Rates rose.\nLlamas eat grass.\n' | xllama rerank xllama-rerank-mini 'What do llamas eat?'",
    'python examples/rag_langchain.py --question "What happens when a request is cancelled?"',
)
COLUMNS = 100
SECONDS = 20.0

GENERATORS = ("`Engine.complete`", "llama-bench", "xllamacpp")
EMBEDDERS = (
    "`Engine.embed`, F16", "sentence-transformers", "onnxruntime", "openvino", "llama-cpp-python", "xllamacpp",
)  # fmt: skip
# Heading of the figure, section of the page, column of the table, and how its rows begin.
FIGURES = (
    ("Generation, one request: tokens/s", "### One request", 1, GENERATORS),
    ("Embedding: texts/s", "## Embedding", 1, EMBEDDERS),
    ("Embedding: peak memory, MB", "## Embedding", 5, EMBEDDERS),
)

_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #9aa4af }
.ours { fill: #3f51b5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #8c9eff } }
</style>"""


def main() -> int:
    """Draw what the arguments name, and return the exit status."""
    if "terminal" in sys.argv:
        (PICTURES / "terminal.svg").write_text(terminal(), "utf-8")
        return 0
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    return write_or_compare(PICTURES / "figures.svg", figures(page))


def figures(page: str) -> str:
    """Return the bars for the tables of the page with the benchmarks."""
    parts, top = [], 0
    for title, section, column, rows in FIGURES:
        values = table_values(page, section, column, rows)
        parts.append(f'<text class="title" x="0" y="{top + 14}">{escape(title)}</text>')
        longest = max(values.values())
        for row, (name, value) in enumerate(values.items(), start=1):
            y = top + 22 * row
            kind = "ours" if name.startswith("Engine") else "bar"
            parts.append(f'<text x="0" y="{y + 14}">{escape(name)}</text>')
            parts.append(f'<rect class="{kind}" x="250" y="{y + 2}" width="{360 * value / longest:.1f}" height="16"/>')
            parts.append(f'<text x="{256 + 360 * value / longest:.1f}" y="{y + 14}">{value:g}</text>')
        top += 22 * len(values) + 36
    size = f'width="680" height="{top}" viewBox="0 0 680 {top}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', _STYLE, *parts, "</svg>", ""])


def table_values(page: str, section: str, column: int, rows: tuple[str, ...]) -> dict[str, float]:
    """Return the figures of the first table below a heading: those of the first row that begins with each name."""
    lines = page.split(f"\n{section}\n")[1].split("\n## ")[0].splitlines()
    found = {}
    for name in rows:
        cells = next(line.split("|") for line in lines if line.startswith(f"| {name}"))
        label = re.sub(r", the engine of fastembed|`", "", cells[1]).strip()
        found[label] = float(cells[column + 1].split()[0])
    return found


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
