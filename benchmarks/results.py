"""Keeps the figures of the documents' sections as JSON, one file for each, from which the plots are drawn.

    python benchmarks/results.py [--check]

A benchmark's `--write` makes the file of its section too (tables.write_section). This script makes all files again,
after a table was merged or explained by hand; with --check, a file that differs from its section is an error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = ("benchmarks.md", "benchmarks-constraints.md", "scale.md")

_SECTION = re.compile(r"<!-- begin (\S+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)
_COMMAND = re.compile(r"(?:^    |`)((?:\w+=\w+ )?python benchmarks/(?:\\\n|[^`\n])+)", re.MULTILINE)
_MACHINE = re.compile(r"[^.|]+, \d+ cores, \w+, Python [\d.]+, xllama \d+\.\d+\.\d+(?: compiled for [^.]+)?(?=\.)")
_FIGURE = re.compile(r"([+-]?\d+(?:\.\d+)?) ?(%|ms|µs)?(?: \((.+)\))?")
_RANGE = re.compile(r"([\d.]+)–([\d.]+)")

Cell = str | dict[str, Any]
Section = dict[str, Any]


def save(document: Path, name: str, text: str) -> None:
    """Write the results of a section of one of our documents; those of other files are not kept.

    Args:
        document: the file that the section is in.
        name: the section's name.
        text: its Markdown.
    """
    if document.resolve().parent == ROOT / "docs":
        RESULTS.mkdir(exist_ok=True)
        path_of(name).write_text(dump(section(document.name, text)), "utf-8")


def path_of(name: str) -> Path:
    """Return the file of a section."""
    return RESULTS / f"{name.removesuffix('.py')}.json"


def committed() -> Iterator[tuple[Path, str]]:
    """Return for each section of the documents its file, and the text that belongs into it."""
    for document in DOCUMENTS:
        for name, text in _SECTION.findall((ROOT / "docs" / document).read_text("utf-8")):
            yield path_of(name), dump(section(document, text))


def section(document: str, text: str) -> Section:
    """Return a section's tables, with the machine and the commands that they come from.

    Args:
        document: name of the file that it is in.
        text: its Markdown.
    """
    machine = _MACHINE.search(" ".join(text.split()))
    return {
        "document": f"docs/{document}",
        "machine": machine[0].strip() if machine else "",
        "commands": [re.sub(r"\s*\\\n\s*", " ", command) for command in _COMMAND.findall(text)],
        "tables": list(_tables(text)),
    }


def _tables(text: str) -> Iterator[dict[str, Any]]:
    heading, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            yield {"heading": heading, "columns": rows[0], "rows": [list(map(_cell, row)) for row in rows[2:]]}
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def _cell(text: str) -> Cell:
    """Return a figure with its unit, and what is in brackets after it: its range, or a note. Other cells stay text."""
    found = _FIGURE.fullmatch(text)
    if found is None:
        return text
    value, unit, extra = found.groups()
    cell: dict[str, Any] = {"value": _number(value)}
    if unit:
        cell["unit"] = unit
    if extra and (ends := _RANGE.fullmatch(extra)):
        cell |= {"least": _number(ends[1]), "greatest": _number(ends[2])}
    elif extra:
        cell["note"] = extra
    return cell


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def dump(value: Section) -> str:
    """Return a section as JSON, with a line for each row of a table."""
    tables = ",\n".join(
        f'  {{"heading": {_json(table["heading"])}, "columns": {_json(table["columns"])}, "rows": [\n'
        + ",\n".join(f"    {_json(row)}" for row in table["rows"])
        + "\n  ]}"
        for table in value["tables"]
    )
    head = "".join(f' "{key}": {_json(value[key])},\n' for key in ("document", "machine", "commands"))
    return f'{{\n{head} "tables": [\n{tables}\n ]\n}}\n'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> int:
    """Write or compare all files, and return the exit status."""
    stale = [path for path, fresh in committed() if not path.exists() or path.read_text("utf-8") != fresh]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} differs from its section; run benchmarks/results.py", file=sys.stderr)
        return int(bool(stale))
    RESULTS.mkdir(exist_ok=True)
    for path, fresh in committed():
        path.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
