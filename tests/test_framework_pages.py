"""Each framework's page has a row for every feature, and each row names tests that exist, or says no."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = "tests/frameworks_outside"
# Page, and where its tests are: files or folders.
PAGES = {
    "langchain": ["tests/xlc_langchain"],
    "llamaindex": ["tests/xlc_llamaindex", "tests/helpers/llamaindex_conformance*.py"],
    "dspy": [f"{OUTSIDE}/dspy"],
    "pydantic-ai": [f"{OUTSIDE}/adapters/test_pydantic_ai.py"],
    "haystack": [f"{OUTSIDE}/adapters/test_haystack.py"],
    "litellm": [f"{OUTSIDE}/adapters/test_litellm.py"],
    "llm": [f"{OUTSIDE}/adapters/test_llm.py"],
}
FEATURES = [
    *("chat", "streams", "asyncio", "tools", "structured output", "images, sound, video", "thinking"),
    *("log-probabilities", "several answers", "tokens used", "embeddings", "reranking", "cancelling", "storing"),
    "errors",
]
HEAD = "| feature | here | tested by |\n| --- | --- | --- |\n"


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the table of what is supported."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    section = text.split("\n## What is supported\n")[1].split("\n## ")[0]
    table = section.split(HEAD)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def names_of_tests(places: list[str]) -> set[str]:
    """Return the names of the tests in files and folders."""
    found = [path for place in places for path in ROOT.glob(place)]
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.glob("test_*.py")))]
    return {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))}


@pytest.mark.parametrize("page", PAGES)
def test_every_feature_has_its_row(page: str) -> None:
    rows = rows_of(page)
    assert [row[0] for row in rows][: len(FEATURES)] == FEATURES
    assert [row for row in rows if len(row) != 3] == []


@pytest.mark.parametrize("page", PAGES)
def test_rows_name_tests_that_exist(page: str) -> None:
    existing = names_of_tests(PAGES[page])
    for feature, here, tested in rows_of(page):
        named = re.findall(r"`(test_\w+)`", tested)
        assert set(named) <= existing, feature
        assert named or here.startswith(("no: ", "nothing to store: ")), feature


def test_overview_has_every_page_and_says_what_is_missing() -> None:
    overview = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
    rows = re.findall(r"^\| \[[\w ]+\]\(([\w-]+)\.md#what-is-supported\).* \| (.*) \|$", overview, re.MULTILINE)
    assert [page for page, _ in rows] == list(PAGES)
    for page, missing in rows:
        assert [row[0] for row in rows_of(page) if row[1].startswith("no: ") and row[0] not in missing] == []
