"""The pictures in docs/server.md can be taken again."""

from __future__ import annotations

import struct
from pathlib import Path

from helpers.module_files import load_file

ROOT = Path(__file__).parents[3]


def test_pictures_of_the_page_are_taken(tmp_path: Path) -> None:
    load_file(ROOT / "cmake" / "page_pictures.py").take(tmp_path)
    taken = sorted(path.name for path in tmp_path.iterdir())
    assert taken == sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    for name in taken:
        header = (tmp_path / name).read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:]) == (900, 600)
