"""The plots of the documents: bars, drawn from the results in benchmarks/results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svg import label, picture, width_of

__all__ = ["PLOTS", "Bar", "Columns", "Plot", "Rows", "draw", "drawn"]

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
OTHERS = (
    *("llama-bench", "llama-batched-bench", "llama-cpp-python", "xllamacpp", "sentence-transformers", "onnxruntime"),
    *("openvino", "Gbnf", "without"),
)
WIDTH = 760
BARS = 300  # pixels of the longest bar

Results = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: its label.
        value: its length.
        ends: least and greatest of the rounds; None for one round.
        ratio: how many times the first row's figure it is; None: not shown.
    """

    name: str
    value: float
    ends: tuple[float, float] | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Rows:
    """A panel with a bar for each row of a table.

    Attributes:
        title: names the figures, and the direction in which they are better.
        section: name of the results.
        column: the table is the first one that has it.
        heading: heading above the table; empty: any.
        ratio: column with the ratio to the first row; empty: none.
        only: beginnings of names, in the order in which the first row of each is shown; empty: all rows.
        nth: which of the columns of this name.
        mark: figure at which a line crosses the bars; None: no line.
    """

    title: str
    section: str
    column: str
    heading: str = ""
    ratio: str = ""
    only: tuple[str, ...] = ()
    nth: int = 0
    mark: float | None = None

    def bars(self, results: Results) -> list[Bar]:
        """Return the bars of the rows that have a figure."""
        table = next(
            table
            for table in results["tables"]
            if self.column in table["columns"] and self.heading in ("", table["heading"])
        )
        columns = table["columns"]
        at = [i for i, name in enumerate(columns) if name == self.column][self.nth]
        ratio = columns.index(self.ratio) if self.ratio else None
        names = [_plain(" ".join(row[: _labels(columns)])) for row in table["rows"]]
        bars = [
            _bar(name, row[at], None if ratio is None else row[ratio])
            for name, row in zip(names, table["rows"], strict=True)
            if isinstance(row[at], dict)
        ]
        if not self.only:
            return bars
        return [next(bar for bar in bars if bar.name.startswith(start)) for start in self.only]


@dataclass(frozen=True)
class Columns:
    """A panel with a bar for each of some columns, from one row of a table.

    Attributes:
        title: names the figures, and the direction in which they are better.
        section: name of the results.
        row: how the row begins.
        columns: the columns.
    """

    title: str
    section: str
    row: str
    columns: tuple[str, ...]

    def bars(self, results: Results) -> list[Bar]:
        """Return the bars."""
        table, row = next(
            (table, row)
            for table in results["tables"]
            if set(self.columns) <= set(table["columns"])
            for row in table["rows"]
            if row[0].startswith(self.row)
        )
        return [_bar(_plain(name), row[table["columns"].index(name)]) for name in self.columns]


Panel = Rows | Columns


@dataclass(frozen=True)
class Plot:
    """A picture of panels below each other.

    Attributes:
        title: names it, for those who do not see it.
        panels: its panels.
    """

    title: str
    panels: tuple[Panel, ...]


def _labels(columns: list[str]) -> int:
    """Return how many columns at the start name the rows: model and weights, or one."""
    return 2 if columns[:2] == ["model", "weights"] else 1


def _plain(name: str) -> str:
    return re.sub(r", the engine of fastembed|`", "", name).strip()


def _bar(name: str, cell: dict[str, Any], ratio: Any = None) -> Bar:
    ends = (cell["least"], cell["greatest"]) if "least" in cell else None
    return Bar(name, cell["value"], ends, ratio["value"] if isinstance(ratio, dict) else None)


def read(name: str) -> Results:
    """Return the results of a section."""
    results: Results = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return results


def draw(plot: Plot, results: dict[str, Results]) -> str:
    """Return a plot as SVG. The same results always give the same file.

    Args:
        plot: what to draw.
        results: the results of its panels' sections, by name.
    """
    drawn = [(panel, panel.bars(results[panel.section])) for panel in plot.panels]
    left = 12 + max(width_of(bar.name) for _, bars in drawn for bar in bars)
    parts, top = [], 0
    for panel, bars in drawn:
        parts.append(label(0, top + 14, panel.title, "title"))
        longest = max(bar.ends[1] if bar.ends else bar.value for bar in bars)
        scale = BARS / longest if longest else 0
        for row, bar in enumerate(bars, start=1):
            parts.extend(_row(bar, left, top + 22 * row, scale))
        if isinstance(panel, Rows) and panel.mark is not None:
            x = left + scale * panel.mark
            parts.append(f'<path class="mark" d="M{x:.1f} {top + 20} v{22 * len(bars) + 4}"/>')
        top += 22 * len(bars) + 36
    for machine in dict.fromkeys(results[panel.section]["machine"] for panel in plot.panels):
        sections = dict.fromkeys(panel.section for panel in plot.panels if results[panel.section]["machine"] == machine)
        parts.append(label(0, top, f"{', '.join(sections)}: {machine}", "muted"))
        top += 16
    return picture(max(WIDTH, left + BARS + 130), top, plot.title, parts)


def _row(bar: Bar, left: float, y: float, scale: float) -> Iterator[str]:
    kind = "bar" if bar.name.startswith(OTHERS) else "ours"
    end = left + scale * bar.value
    yield label(left - 8, y + 14, bar.name, anchor="end")
    yield f'<rect class="{kind}" x="{left:.1f}" y="{y + 2}" width="{end - left:.1f}" height="16"/>'
    if bar.ends:
        least, greatest = (left + scale * value for value in bar.ends)
        yield f'<path class="line" d="M{least:.1f} {y + 10} H{greatest:.1f} M{least:.1f} {y + 6} V{y + 14}'
        yield f'M{greatest:.1f} {y + 6} V{y + 14}"/>'
        end = greatest
    shown = f"{bar.value}" if bar.ratio is None else f"{bar.value} · {bar.ratio:.2f}×"
    yield label(round(end + 6, 1), y + 14, shown)


_GENERATORS = ("Engine.complete", "llama-bench", "xllamacpp")
_EMBEDDERS = (
    "Engine.embed, F16", "sentence-transformers", "onnxruntime", "openvino", "llama-cpp-python", "xllamacpp",
)  # fmt: skip
_MORE, _LESS = "more is better", "less is better"
_MEMORY = "peak memory, MB"
_KINDS = ("`JsonSchema`", "`Gbnf` from llama.cpp's converter")


def _against_llama_bench(section: str) -> tuple[Panel, ...]:
    return (
        Rows("Reading a prompt of 512 tokens: times llama-bench's speed (line: the same)", section, "ratio", mark=1),
        Rows(
            "Generating after a prompt of 1,500: times llama-bench's speed (line: the same)",
            section,
            "ratio",
            nth=1,
            mark=1,
        ),
    )


# By the name of the file in docs/pictures.
PLOTS = {
    "figures": Plot(
        "Generation, embedding and memory beside other packages",
        (
            Rows("Generation, one request: tokens/s", "generation", "tokens/s", "One request", only=_GENERATORS),
            Rows("Embedding: texts/s", "embedding", "texts/s", only=_EMBEDDERS),
            Rows("Embedding: peak memory, MB", "embedding", _MEMORY, only=_EMBEDDERS),
        ),
    ),
    "generation": Plot(
        "Generation with SmolLM2-135M, beside llama.cpp's own programs and xllamacpp",
        (
            Rows(f"One request: tokens/s ({_MORE})", "generation", "tokens/s", "One request", "of llama-bench"),
            Rows(f"8 at once: tokens/s ({_MORE})", "generation", "tokens/s", "8 at once", "of llama-batched-bench"),
        ),
    ),
    "prompts": Plot("Prompts and generation, by model and type of weights", _against_llama_bench("prompts")),
    "prompts-avx2": Plot("The same with AVX2 alone", _against_llama_bench("prompts-avx2")),
    "embedding": Plot(
        "Embedding: speed and memory",
        (
            Rows(f"Texts/s ({_MORE})", "embedding", "texts/s", ratio="of sentence-transformers 6.2.0, float32"),
            Rows(f"One short query, ms ({_LESS})", "embedding", "one short query, ms"),
            Rows(f"Peak memory, MB ({_LESS})", "embedding", _MEMORY),
        ),
    ),
    "reranking": Plot(
        "Reranking: speed and memory",
        (
            Rows(f"Pairs/s ({_MORE})", "reranking", "pairs/s"),
            Rows(f"Peak memory, MB ({_LESS})", "reranking", _MEMORY),
        ),
    ),
    "server": Plot(
        "The server beside the engine and xllamacpp's server",
        (
            Rows(f"One stream: tokens/s ({_MORE})", "server", "tokens/s", "One stream"),
            Rows(f"8 streams: tokens/s ({_MORE})", "server", "tokens/s", "8 streams"),
            Rows(f"Embedding: texts/s ({_MORE})", "server", "texts/s", "Embedding"),
            Rows(f"The first event of a stream, ms ({_LESS})", "server", "ms", "The first event"),
        ),
    ),
    "constraints": Plot(
        "Constraints: how often they are right, and their time",
        (
            Columns(f"Schemas fully right, % ({_MORE})", "maskbench", "schemas fully right", _KINDS),
            Columns(f"Accept invalid instances, % ({_LESS})", "maskbench", "accepted schemas that accept", _KINDS),
            Columns(f"Refuse valid instances, % ({_LESS})", "maskbench", "accepted schemas that refuse", _KINDS),
            Columns(f"Computing a mask, mean, µs ({_LESS})", "maskbench", "mask, mean", _KINDS),
            Columns(f"An object of 10 fields: tokens/s ({_MORE})", "speed", "an object of 10", ("without", "with")),
            Columns(f"A call with 5 arguments: tokens/s ({_MORE})", "speed", "a call with 5", ("without", "with")),
        ),
    ),
}  # fmt: skip


def drawn() -> dict[str, str]:
    """Return all plots, by the name of the file in docs/pictures."""
    return {
        f"{name}.svg": draw(plot, {panel.section: read(panel.section) for panel in plot.panels})
        for name, plot in PLOTS.items()
    }
