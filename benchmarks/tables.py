"""Writes measurements as Markdown tables into a document."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import results
from measure import Contender

Column = tuple[str, Callable[[Contender], str]]

HEADER = """# Benchmarks

Written by the scripts in `benchmarks/`; its README explains the measurements. Figures from different machines or runs
cannot be compared; ratios within one run can.
"""


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median, with the least and the greatest in brackets if there are several."""
    if not values:
        return ""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def rounds_note(n_rounds: int) -> str:
    """Return the sentence that says where the figures come from."""
    if n_rounds == 1:
        return "The figures come from one round."
    return f"Figures are medians over {n_rounds} rounds (least–greatest); ratios are taken round by round."


def ratios(contender: Contender, baseline: Contender) -> list[float]:
    """Return the contender's figure as a share of the baseline's, for each round."""
    return [
        ours / theirs
        for ours, theirs in zip(contender.figures("wall"), baseline.figures("wall"), strict=False)
        if theirs > 0
    ]


def cells(rows: list[list[str]]) -> str:
    """Return a table. The first row is its head; all columns except the first hold figures."""
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
    """Return a table with a row for each contender. The ratios refer to the first row.

    Args:
        contenders: the rows.
        unit: unit of the figures.
        digits: decimals of the figures.
        own_timings: whether to show the peers' own timings.
        target: whether to show the expected ratio.
        less_is_better: smaller figures are better, so that the expected ratio is an upper limit.
        columns: more columns, each a heading and a function that returns a row's cell.
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
    """Return a table with a row for each reference and a column for each of ours, with the ratio of their figures.

    Args:
        ours: the columns.
        references: the rows, each with the expected ratio.
    """
    rows = [["of", *(contender.name for contender in ours), "expected"]]
    for reference, expected in references:
        reached = [spread(ratios(contender, reference), 3) for contender in ours]
        rows.append([reference.name, *reached, f"≥ {expected}"])
    return cells(rows)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]


def disturbance(contenders: list[Contender]) -> str:
    """Return a sentence about the share of the processors that other programs took meanwhile."""
    others = [share for contender in contenders for share in contender.figures("others")]
    if not others:
        return "Nothing was measured."
    return (
        f"Other programs took {statistics.median(others):.1%} of the processors in the median measurement, "
        f"{max(others):.1%} in the most disturbed one."
    )


def write_section(path: Path, name: str, text: str) -> None:
    """Write a section into a document. It replaces the old section, or is added at the end.

    If the document is in docs/, its figures are kept in benchmarks/results too.

    Args:
        path: the document; created if it does not exist.
        name: name of the section, in two comments around it.
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
    results.save(path, name, text)
