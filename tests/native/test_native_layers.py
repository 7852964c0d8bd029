"""The folders of native/ are layers: each includes only those below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "src" / "xlc_core" / "native"

LAYERS = (
    {"support"},
    {"kernels", "constraints"},
    {"overrides"},
    {"loading"},
    {"generation", "retrieval"},
    {"engine"},
    {"bindings"},
    {"module"},
)
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z_]+)/', re.MULTILINE)


def room_of(path: Path) -> str:
    return path.relative_to(NATIVE).parts[0].removesuffix(".cpp")


def sources() -> list[Path]:
    return sorted(path for path in NATIVE.rglob("*") if path.suffix in {".c", ".cpp", ".h"})


def upward_includes(room: str, source: str) -> list[str]:
    """Return the folders of native/ that a file of this room must not include; llama.cpp's own are left out."""
    return [other for other in INCLUDE.findall(source) if other != room and FLOOR.get(other, -1) >= FLOOR[room]]


def test_every_folder_has_a_floor() -> None:
    assert {room_of(path) for path in sources()} == FLOOR.keys()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(NATIVE)))
def test_includes_go_down(path: Path) -> None:
    assert upward_includes(room_of(path), path.read_text(encoding="utf-8")) == []


def test_upward_include_is_found() -> None:
    assert upward_includes("support", '#include "engine/engine.h"\n') == ["engine"]
    assert upward_includes("engine", '#include "support/errors.h"\n#include "models/models.h"\n') == []


def test_no_file_includes_its_own_name() -> None:
    """An override is named after the upstream file, which it names from llama.cpp's root."""
    for path in (NATIVE / "overrides").rglob("*.c*"):
        included = re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8"))
        assert not [name for name in included if (path.parent / name).exists()], path
