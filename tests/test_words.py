"""cmake/check_words.py finds phrases that have a plainer form, and only in what people read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "cmake" / "check_words.py"


def check(folder: Path, name: str, text: str) -> str:
    """Return the output of the script for one file of a new repository."""
    script = folder / "cmake" / SCRIPT.name
    script.parent.mkdir()
    script.write_text(SCRIPT.read_text("utf-8"), "utf-8")
    (folder / name).write_text(text, "utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    command = [sys.executable, str(script), name]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("comment.py", "x = 1\n# This is no list.\n", 2),
        ("message.py", 'raise ValueError("the file is no model")\n', 1),
        ("docstring.py", 'def size():\n    """Say how large it is."""\n', 2),
        ("header.h", "int n;\n// The slot is read\n// anew.\n", 3),
        ("message.cpp", 'fail("the head did "\n     "not come up");\n', 1),
        ("page.md", "# Page\n\nWhat is too long is cut.\n", 3),
        ("build.cmake", "# Nobody sees to it.\n", 1),
    ],
)
def test_phrase_is_found(tmp_path: Path, name: str, text: str, line: int) -> None:
    assert check(tmp_path, name, text).startswith(f"{name}:{line}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("code.py", "held_to = is_no = 1\n"),
        ("usual.py", '"""Return the size. There is no limit, and it is no longer than this."""\n'),
        ("page.md", "What is a slot?\n\n```python\nprint('left away')\n```\n"),
        ("code.cpp", "int anew = sees_to_it;\n"),
    ],
)
def test_code_and_usual_words_are_allowed(tmp_path: Path, name: str, text: str) -> None:
    assert check(tmp_path, name, text) == ""
