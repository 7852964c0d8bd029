"""cmake/check_docstrings.py finds public names, fields and parameters without a description."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parents[1]
script = load_file(ROOT / "cmake" / "check_docstrings.py")


def check(folder: Path, code: str) -> list[str]:
    """Return what a package lacks whose part has this code, without places."""
    package = folder / "src" / "xlc_new"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('from xlc_new.part import Name\n\n__all__ = ["Name"]\n', "utf-8")
    (package / "part.py").write_text(code, "utf-8")
    found = list(script.check_module(folder / "src", "xlc_new"))
    assert all(line.startswith("src/xlc_new/part.py:") for line in found)
    return [line.split(": ", 1)[1] for line in found]


@pytest.mark.parametrize(
    ("code", "lack"),
    [
        ("def Name():\n    pass\n", "Name: no docstring"),
        ("class Name:\n    pass\n", "Name: no docstring"),
        ("Name = int | str\n", "Name: no text below it"),
        ('class Name:\n    """A name."""\n\n    size: int\n', "Name: field size is not described"),
        ('class Name:\n    """A name."""\n\n    def read(self): ...\n', "Name: read: no docstring"),
        (
            'def Name(a, *, b):\n    """Do it.\n\n    Args:\n        a: one.\n    """\n',
            "Name: parameter b is not described",
        ),
    ],
)
def test_missing_description_is_found(tmp_path: Path, code: str, lack: str) -> None:
    assert check(tmp_path, code) == [lack]


@pytest.mark.parametrize(
    "code",
    [
        'Name = int | str\n"""A number or its text."""\n',
        'class Name:\n    """A name.\n\n    Attributes:\n        size: in bytes.\n    """\n\n    size: int\n',
        'class Name:\n    """A name."""\n\n    size: int\n    """In bytes."""\n',
        'class Name(Base):\n    """A name."""\n\n    def read(self): ...\n',
        'def Name(a, b):\n    """Join a and b."""\n\n\ndef other():\n    pass\n',
        'class Name:\n    """A name."""\n\n    _size: int\n    kind: Literal["one"]\n',
    ],
)
def test_descriptions_are_accepted(tmp_path: Path, code: str) -> None:
    assert check(tmp_path, code) == []


def test_every_public_name_is_described() -> None:
    assert script.main() == 0
