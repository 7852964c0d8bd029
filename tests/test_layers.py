"""The folders of the core are layers: each imports only those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
CORE = SRC / "xlc_core"

LAYERS = (
    {"_native", "errors", "logger"},
    {"hardware", "nesting", "backends", "gpu_drivers"},
    {"texts", "logging_bridge", "terminal", "waiting"},
    {"constraints", "options"},
    {"models", "messages"},
    {"results"},
    {"events", "retrieval"},
    {"generation"},
    {"engine", "scripted_streams"},
    {"reranking", "benchmarking", "testing"},
    {"frameworks", "cli", "__init__"},
    {"compat"},
)
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: Path) -> str:
    """Return the folder of the core that a file is in, or the file's own name at the top."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def imported_rooms(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the room of each import from the core."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "xlc_core":
            names = [f"xlc_core.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "xlc_core":
                yield node.lineno, rest.partition(".")[0] or "__init__"


def test_every_room_has_floor() -> None:
    assert {room_of(path) for path in modules()} <= FLOOR.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CORE)))
def test_imports_go_down(path: Path) -> None:
    own = room_of(path)
    upward = [
        f"line {line}: {room}"
        for line, room in imported_rooms(path.read_text(encoding="utf-8"))
        if room != own and FLOOR[room] >= FLOOR[own]
    ]
    assert upward == []


def test_upward_import_is_found() -> None:
    assert list(imported_rooms("def f():\n    from xlc_core.engine import opening\n")) == [(2, "engine")]
    assert list(imported_rooms("from xlc_core import Engine, _native")) == [(1, "Engine"), (1, "_native")]
