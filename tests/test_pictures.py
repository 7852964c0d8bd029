"""The pictures of the documents: their figures are those of the tables, and they load nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[1]
script = load_file(ROOT / "cmake" / "make_pictures.py")
PAGE = """# Figures

## One

| | tokens/s | MB |
| --- | ---: | ---: |
| `Engine.embed`, F16 | 20.5 (20–21) | 161 (0.1) |
| other 2.0, the engine of fastembed | 10 | 1000 (1.0) |

## Two

| third | 1 | 2 |
"""


def test_figures_are_those_of_the_tables() -> None:
    rows = ("`Engine.embed`", "other")
    assert script.table_values(PAGE, "## One", 2, rows) == {"Engine.embed, F16": 161, "other 2.0": 1000}
    with pytest.raises(StopIteration):
        script.table_values(PAGE, "## One", 2, ("third",))


def test_committed_figures_are_fresh() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert (ROOT / "docs" / "pictures" / "figures.svg").read_text("utf-8") == script.figures(page)


@pytest.mark.parametrize("name", ["figures.svg", "terminal.svg"])
def test_picture_is_whole_and_loads_nothing(name: str) -> None:
    text = (ROOT / "docs" / "pictures" / name).read_text("utf-8")
    ElementTree.fromstring(text)
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|<script|href", text) == []


def test_output_is_wrapped_to_the_width(tmp_path: Path) -> None:
    lines = script.output_of("echo " + "word " * 50)
    assert max(map(len, lines)) <= script.COLUMNS
    assert " ".join(lines).split() == ["word"] * 50
