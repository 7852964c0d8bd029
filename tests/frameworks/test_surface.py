"""The adapters use the core by its public names and by ``xlc_core.frameworks``, as an adapter of anybody's could."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import xlc_core
from xlc_core import frameworks

SRC = Path(__file__).parents[2] / "src"
PACKAGES = [path.name for path in sorted(SRC.glob("xlc_*")) if path.name not in ("xlc_core", "xlc_jobs")]
SURFACES = {"xlc_core": [*xlc_core.__all__, "__version__"], "xlc_core.frameworks": frameworks.__all__}


def adapter_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (SRC / package).rglob("*.py"))


def names_from_core(source: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each thing that a file takes from the core."""
    tree = ast.parse(source)
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xlc_core":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            aliases.update({alias.asname or alias.name: alias.name for alias in node.names if "xlc_core" in alias.name})
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield aliases[node.value.id], node.attr


@pytest.mark.parametrize("path", adapter_files(), ids=lambda path: str(path.relative_to(SRC)))
def test_adapters_import_public_names_only(path: Path) -> None:
    found = names_from_core(path.read_text(encoding="utf-8"))
    assert [pair for pair in found if pair[1] not in SURFACES.get(pair[0], ())] == []


def test_other_imports_are_found() -> None:
    assert list(names_from_core("def f():\n    from xlc_core.engine import opening")) == [
        ("xlc_core.engine", "opening")
    ]
    assert list(names_from_core("import xlc_core as xlc\nxlc.Engine")) == [("xlc_core", "Engine")]
    assert list(names_from_core("import json\njson.loads")) == []


@pytest.mark.parametrize("name", frameworks.__all__)
def test_names_are_there_and_documented(name: str) -> None:
    value = getattr(frameworks, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)
    assert name in (frameworks.__doc__ or "")


def test_names_are_sorted_and_nothing_else_is_there() -> None:
    assert frameworks.__all__ == sorted(frameworks.__all__)
    public = {name for name, value in vars(frameworks).items() if not (name.startswith("_") or inspect.ismodule(value))}
    assert public == set(frameworks.__all__)


def test_no_name_is_in_both_places() -> None:
    assert set(xlc_core.__all__).isdisjoint(frameworks.__all__)
