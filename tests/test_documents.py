"""The documents name files, headings and make targets that exist, and the index of docs/ lists every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xlc_core import errors

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "examples/*.md", "vendor/*.md", "tests/model_files/*.md")
    for path in ROOT.glob(pattern)
)
MAPS = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
# A path in these pages is written from the root or from the core's folder.
BASES = (ROOT, ROOT / "src", ROOT / "src" / "xlc_core", ROOT / "src" / "xlc_core" / "native")
MADE_BY_BUILDING = ("build/", "vendor/llama.cpp", "dist")

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|pyi|cpp|c|h|md|toml|txt|json|yaml|cmake))|\.?[\w-]+(/[\w.-]+)+")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_of(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose_of(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_in(text: str) -> list[str]:
    """Return what is written as a path in a page's code, without patterns, options and Python names."""
    return [code for code in CODE.findall(prose_of(text)) if PATH.fullmatch(code) and not code.startswith("hf:")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(prose_of(page.read_text("utf-8"))):
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in anchors_of(path.read_text("utf-8"))):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", MAPS)
def test_every_path_that_is_named_exists(page: str) -> None:
    named = [path for path in paths_in((ROOT / page).read_text("utf-8")) if not path.startswith(MADE_BY_BUILDING)]
    missing = [path for path in named if not any((base / path).exists() for base in BASES)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {name for names in re.findall(r"^([\w -]+):", makefile, flags=re.MULTILINE) for name in names.split()}
    named = re.findall(r"(?:^\$ |`|&& )make ([a-z][\w-]*)", page.read_text("utf-8"), flags=re.MULTILINE)
    assert set(named) <= targets


def test_index_lists_every_page() -> None:
    listed = set(LINK.findall((ROOT / "docs" / "README.md").read_text("utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_page_of_errors_lists_every_error() -> None:
    listed = re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "errors.md").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(errors.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_at_most_120_columns_wide(page: Path) -> None:
    """Rows of tables cannot be wrapped, and commands are not."""
    lines = prose_of(page.read_text("utf-8")).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith(("|", "    "))] == []


def test_missing_names_are_found() -> None:
    text = "`src/none.py`, `native/none/`, `Engine.chat`, `n_ctx`, `**/*.md`, `make_*.py`, `hf:owner/repo`"
    assert paths_in(text) == ["src/none.py", "native/none/"]
