"""Markdown tables of what was measured, and putting them into a document."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Contender

Column = tuple[str, Callable[[Contender], str]]

HEADER = """# Benchmarks

Made by the scripts in `benchmarks/`, which say how. Figures of different machines, or of different runs, do not
compare; the ratios within one run do.
"""


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and least to greatest in brackets when there are several."""
    if not values:
        return ""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratios(contender: Contender, baseline: Contender) -> list[float]:
    """Round by round, how much of the baseline's figure a contender reached."""
    return [
        ours / theirs
        for ours, theirs in zip(contender.figures("wall"), baseline.figures("wall"), strict=False)
        if theirs > 0
    ]


def cells(rows: list[list[str]]) -> str:
    """A table; the first row is its head, and all columns but the first hold figures."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| --- " + "| ---: " * (len(rows[0]) - 1) + "|")
    return "\n".join(lines)


def comparison(
    contenders: list[Contender],
    unit: str,
    digits: int,
    *,
    own_timings: bool = False,
    target: bool = False,
    less_is_better: bool = False,
    columns: Sequence[Column] = (),
) -> str:
    """A table with a row per contender. The first is what the ratios refer to.

    Args:
        contenders: the rows.
        unit: of the figures.
        digits: decimals to show of them.
        own_timings: whether to show what the peers' own timings say.
        target: whether to show the ratio that is expected.
        less_is_better: of the figures: what is expected is then at most, not at least.
        columns: further ones, each a heading and what gives a row's cell.
    """
    baseline = contenders[0]
    head = ["", unit]
    if own_timings:
        head.append(f"{unit}, by its own timings")
    head.append(f"of {baseline.name}")
    if target:
        head.append("expected")
    head.extend(heading for heading, _ in columns)
    rows = [head]
    for contender in contenders:
        figures = spread(contender.figures("wall"), digits)
        row = [contender.name, f"skipped: {_one_line(contender.error)}" if contender.error else figures]
        if own_timings:
            row.append(spread(contender.figures("timings"), digits))
        row.append(spread(ratios(contender, baseline), 3))
        if target:
            sign = "≤" if less_is_better else "≥"
            row.append("" if contender.target is None else f"{sign} {contender.target}")
        row.extend("" if contender.error else cell(contender) for _, cell in columns)
        rows.append(row)
    return cells(rows)


def ratio_table(ours: list[Contender], references: list[tuple[Contender, float]]) -> str:
    """A table with a row per reference and a column for each of ours: how much of its figure ours reached.

    Args:
        ours: the columns.
        references: the rows, each with the ratio that is expected.
    """
    rows = [["of", *(contender.name for contender in ours), "expected"]]
    for reference, expected in references:
        reached = [spread(ratios(contender, reference), 3) for contender in ours]
        rows.append([reference.name, *reached, f"≥ {expected}"])
    return cells(rows)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]


def disturbance(contenders: list[Contender]) -> str:
    """How much of the processors other programs took while these were measured."""
    others = [share for contender in contenders for share in contender.figures("others")]
    if not others:
        return "Nothing was measured."
    return (
        f"Other programs took {statistics.median(others):.1%} of the processors in the median measurement, "
        f"{max(others):.1%} in the most disturbed one."
    )


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section into a document: in the place of its predecessor, or at the end.

    Args:
        path: the document; made when it is not there.
        name: names the section in two comments around it.
        text: Markdown.
    """
    start, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{start}\n{text.strip()}\n{end}"
    document = path.read_text("utf-8") if path.exists() else HEADER
    if start in document and end in document:
        pattern = re.escape(start) + ".*?" + re.escape(end)
        document = re.sub(pattern, lambda _: section, document, flags=re.DOTALL)
    else:
        document = f"{document.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, "utf-8")
