"""The documentation site: its navigation, its links, and that its reference has every public name and option."""

from __future__ import annotations

from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.module_files import load_file

ROOT = Path(__file__).parents[1]
links = load_file(ROOT / "cmake" / "site_links.py")
reference = load_file(ROOT / "cmake" / "site_reference.py")


def test_navigation_has_sections_and_pages_in_order() -> None:
    index = "# Docs\n\nText.\n\n## Start\n\n1. [a](a.md): x\n2. [b](../B.md)\n\n## Help\n\n[c](c.md#x), [c](c.md)\n"
    assert links.navigation(index) == {"Start": ["a.md", "project/B.md"], "Help": ["c.md"]}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    texts = {
        "docs/README.md": "[b](b.md) [map](../MAP.md#x) [code](../src/code.py)\n\n```text\n[no](../none.md)\n```\n",
        "docs/b.md": "[dead](none.md) [site](https://example.org/x.md) [here](#a)\n",
        "MAP.md": "[b](docs/b.md) [more](tools/)\n",
        "tools/README.md": "[map](../MAP.md)\n",
        "src/code.py": "x = 1\n",
        "UNUSED.md": "text\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_links_of_the_repository_become_links_of_the_site(repository: Path) -> None:
    def rewritten(path: str) -> str:
        text: str = links.rewrite((repository / path).read_text("utf-8"), links.uri_of(path), repository)
        return text

    assert rewritten("docs/README.md") == (
        "[b](b.md) [map](project/MAP.md#x) [code](source/src/code.py)\n\n```text\n[no](../none.md)\n```\n"
    )
    assert rewritten("docs/b.md") == (repository / "docs/b.md").read_text("utf-8")
    assert rewritten("MAP.md") == "[b](../b.md) [more](tools/README.md)\n"
    assert rewritten("tools/README.md") == "[map](../MAP.md)\n"


def test_site_has_the_files_that_pages_link_to(repository: Path) -> None:
    assert links.linked_files(repository) == ["MAP.md", "src/code.py", "tools/README.md"]


def test_reference_has_every_public_name() -> None:
    pages = reference.pages(ROOT)
    text = "\n".join(
        make() for uri, make in pages.items() if uri.removeprefix("reference/") not in ("command-line.md",)
    )
    missing = [name for name in xlc.__all__ if f"::: xlc_core.{xlc._MODULES[name]}.{name}\n" not in text]
    assert missing == []
    packages = {path.parent.name for path in ROOT.glob("src/xlc_*/__init__.py")} - {"xlc_core"}
    assert {f"reference/{package}.md" for package in packages} <= set(pages)


def test_tables_have_every_option_with_its_meaning() -> None:
    text = reference.options_page()
    for cls in (xlc.EngineOptions, xlc.ChatOptions, xlc.EmbedStreamOptions, xlc.RerankOptions):
        for name in cls.model_fields:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")][:1]
            meaning = row.split(" | ")[-1].removesuffix(" |").strip()
            assert meaning, name


def test_tables_name_a_default_once() -> None:
    rows = {line.split("`")[1]: line for line in reference.options_page().splitlines() if line.startswith("| `")}
    assert "| `512` |" in rows["n_batch"]
    assert "[512]" not in rows["n_batch"]
    assert "| `None` |" in rows["top_k"]
    assert "[40]" in rows["top_k"]


def test_bars_in_cells_are_shown_as_bars() -> None:
    """The site's Markdown shows a backslash in code, and needs one outside."""
    assert reference._cell("`int | None`, or a | b") == "`int | None`, or a \\| b"


def test_command_line_has_every_command_with_its_options() -> None:
    text = reference.command_line_page()
    for command in ("chat", "complete", "embed", "rerank", "serve", "doctor", "models pull", "bench speculation"):
        assert f"\n## xllama {command}\n" in text
    serve = text.split("## xllama serve\n")[1].split("\n## ")[0]
    assert "| `--memory` |" in serve
