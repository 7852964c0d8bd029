"""The pictures of the documents: their figures are those of the tables, and they load nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = sorted(path.name for path in (DOCS / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"

script = load_file(ROOT / "cmake" / "make_pictures.py")
plots = sys.modules["plots"]
svg = sys.modules["svg"]
site_pictures = load_file(ROOT / "cmake" / "site_pictures.py")
results = load_file(ROOT / "benchmarks" / "results.py")

SECTION = """## Embedding

A model, 2 threads. AMD EPYC, 2 cores, Linux, Python 3.11.7, xllama 0.1.0 compiled for AVX2.

    python benchmarks/retrieval.py --only embedding \\
        --rounds 1

### Texts

| | tokens/s | MB | |
| --- | ---: | ---: | --- |
| `Engine.embed`, F16 | 20.5 (20–21) | 161 (0.1) | ≥ 0.98 |
| other 2.0, the engine of fastembed | 10 | 1.5 ms | skipped: it cannot |
"""


def test_results_are_the_figures_of_the_tables() -> None:
    section = results.section("benchmarks.md", SECTION)
    assert section == json.loads(results.dump(section)) == {
        "document": "docs/benchmarks.md",
        "machine": "AMD EPYC, 2 cores, Linux, Python 3.11.7, xllama 0.1.0 compiled for AVX2",
        "commands": ["python benchmarks/retrieval.py --only embedding --rounds 1"],
        "tables": [
            {
                "heading": "Texts",
                "columns": ["", "tokens/s", "MB", ""],
                "rows": [
                    [
                        "`Engine.embed`, F16",
                        {"value": 20.5, "least": 20, "greatest": 21},
                        {"value": 161, "note": "0.1"},
                        "≥ 0.98",
                    ],
                    [
                        "other 2.0, the engine of fastembed",
                        {"value": 10},
                        {"value": 1.5, "unit": "ms"},
                        "skipped: it cannot",
                    ],
                ],
            }
        ],
    }  # fmt: skip


def test_committed_results_are_those_of_the_documents() -> None:
    fresh = dict(results.committed())
    assert {"generation", "prompts", "embedding", "reranking", "server", "maskbench", "speed"} <= {
        path.stem for path in fresh
    }
    assert set(results.RESULTS.iterdir()) == set(fresh)
    assert [path.name for path, text in fresh.items() if path.read_text("utf-8") != text] == []


def test_a_benchmark_that_writes_into_the_documents_keeps_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = load_file(ROOT / "benchmarks" / "tables.py")
    monkeypatch.setattr(tables.results, "ROOT", tmp_path)
    monkeypatch.setattr(tables.results, "RESULTS", tmp_path / "results")
    (tmp_path / "docs").mkdir()
    tables.write_section(tmp_path / "else.md", "elsewhere", SECTION)
    assert not (tmp_path / "results").exists()
    tables.write_section(tmp_path / "docs" / "benchmarks.md", "embedding", SECTION)
    (written,) = (tmp_path / "results").iterdir()
    assert written.name == "embedding.json"
    assert json.loads(written.read_text("utf-8")) == results.section("benchmarks.md", SECTION)


def test_bars_are_the_rows_of_a_table() -> None:
    section = results.section("benchmarks.md", SECTION)
    bars = plots.Rows("title", "embedding", "tokens/s").bars(section)
    assert bars == [plots.Bar("Engine.embed, F16", 20.5, (20, 21)), plots.Bar("other 2.0", 10)]
    assert plots.Rows("title", "embedding", "MB", only=("other", "Engine")).bars(section) == [
        plots.Bar("other 2.0", 1.5), plots.Bar("Engine.embed, F16", 161)
    ]  # fmt: skip
    with pytest.raises(StopIteration):
        plots.Rows("title", "embedding", "MB", only=("third",)).bars(section)
    assert plots.Columns("title", "embedding", "other", ("tokens/s", "MB")).bars(section) == [
        plots.Bar("tokens/s", 10), plots.Bar("MB", 1.5)
    ]  # fmt: skip


def test_bars_are_as_long_as_their_figures() -> None:
    section = results.section("benchmarks.md", SECTION)
    drawn = plots.draw(plots.Plot("Speed & more", (plots.Rows("t", "x", "tokens/s"),)), {"x": section})
    root = ElementTree.fromstring(drawn)
    ours, other = root.findall(f"{SVG}rect")
    assert (ours.get("class"), float(ours.get("width", "")) / float(other.get("width", ""))) == (
        "ours", pytest.approx(2.05, rel=0.01)
    )  # fmt: skip
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "20.5" in texts
    assert f"x: {section['machine']}" in texts
    assert root.findtext(f"{SVG}title") == "Speed & more"


def test_line_stands_at_its_figure_and_names_of_models_are_ours() -> None:
    table = {"heading": "", "columns": ["model", "weights", "ratio"], "rows": [["llama-3.2-1b", "F16", {"value": 2.0}]]}
    panel = plots.Rows("t", "x", "ratio", mark=1)
    drawn = plots.draw(plots.Plot("t", (panel,)), {"x": {"machine": "", "tables": [table]}})
    root = ElementTree.fromstring(drawn)
    (bar,), (line,) = root.findall(f"{SVG}rect"), root.findall(f"{SVG}path[@class='mark']")
    middle = float(bar.get("x", "")) + float(bar.get("width", "")) / 2
    assert bar.get("class") == "ours"
    assert float(line.get("d", "").split()[0].removeprefix("M")) == pytest.approx(middle, abs=0.2)


def test_committed_pictures_are_what_the_script_draws() -> None:
    drawn = script.drawn()
    assert set(PICTURES) == {*drawn, "terminal.svg"}
    assert [name for name, text in drawn.items() if (DOCS / "pictures" / name).read_text("utf-8") != text] == []


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_whole_shown_and_loads_nothing(name: str) -> None:
    text = (DOCS / "pictures" / name).read_text("utf-8")
    ElementTree.fromstring(text)
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|<script|href", text) == []
    pages = "".join(path.read_text("utf-8") for path in [ROOT / "README.md", *DOCS.glob("*.md")])
    assert re.search(rf"!\[[^\]]{{10,}}\]\((docs/)?pictures/{re.escape(name)}\)", pages), "no page shows it"


@pytest.mark.parametrize("name", PICTURES)
def test_texts_are_inside_the_picture(name: str) -> None:
    root = ElementTree.fromstring((DOCS / "pictures" / name).read_text("utf-8"))
    width, height = (float(root.get(side, "")) for side in ("width", "height"))
    for text in root.iter(f"{SVG}text"):
        size = svg.width_of(text.text or "", code="code" in text.get("class", "")) * 0.85
        x, y = float(text.get("x", "")), float(text.get("y", ""))
        start = x - {"start": 0, "middle": size / 2, "end": size}[text.get("text-anchor", "start")]
        assert start >= 0, text.text
        assert name == "terminal.svg" or start + size <= width, text.text
        assert 0 < y <= height, text.text


def test_picture_is_light_or_dark_on_the_site(tmp_path: Path) -> None:
    both = svg.picture(10, 10, "t", [])
    light, dark = (svg.recoloured(both, scheme) for scheme in ("light", "dark"))
    assert "@media" not in light + dark
    assert dark.index("fill: #24292f") < dark.index("fill: #e6edf3"), "the dark rules come last"
    assert "#e6edf3" not in light
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.svg").write_text(both)
    (tmp_path / "pictures" / "b.svg").write_text(light)
    assert dict(site_pictures.colour_files(tmp_path)) == {"pictures/a-light.svg": light, "pictures/a-dark.svg": dark}
    text = "![A](../pictures/a.svg) ![B](../pictures/b.svg) ![C](none.svg)"
    assert site_pictures.use_both(text, "project/x.md", tmp_path) == (
        "![A](../pictures/a-light.svg#only-light)![A](../pictures/a-dark.svg#only-dark) "
        "![B](../pictures/b.svg) ![C](none.svg)"
    )


def test_output_is_wrapped_to_the_width() -> None:
    lines = script.output_of("echo " + "word " * 50)
    assert max(map(len, lines)) <= script.COLUMNS
    assert " ".join(lines).split() == ["word"] * 50
