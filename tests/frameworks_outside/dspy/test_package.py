"""The exports of the package, its page and its example."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import xlc_dspy
from helpers.document_blocks import blocks_of, run_blocks

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", xlc_dspy.__all__)
def test_public_name_is_documented(name: str) -> None:
    value = getattr(xlc_dspy, name)
    assert inspect.getdoc(value)
    methods = vars(value) if inspect.isclass(value) else {}
    public = [one for one in methods if not one.startswith("_") and inspect.isfunction(methods[one])]
    assert all(inspect.getdoc(methods[one]) for one in public)


def test_nothing_else_public_leaks() -> None:
    shown = {name for name in dir(xlc_dspy) if not name.startswith("_")}
    assert {name for name in shown if not inspect.ismodule(getattr(xlc_dspy, name))} == set(xlc_dspy.__all__)
    assert list(xlc_dspy.__all__) == sorted(xlc_dspy.__all__)


def test_page_runs_as_pasted() -> None:
    run_blocks(blocks_of(ROOT / "docs" / "dspy.md"))


def test_example(tmp_path: Path) -> None:
    saved = tmp_path / "sort.json"
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "dspy_tickets.py"), "--save", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.split()[0] in {"billing", "technical"} for line in lines)
    assert '"demos"' in saved.read_text()


def test_core_imports_no_dspy() -> None:
    code = "import sys, xlc_core; xlc_core.Engine; print('dspy' in sys.modules, 'xlc_dspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_missing_dspy_is_named() -> None:
    code = "import sys; sys.modules['dspy'] = None\nimport xlc_dspy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'xllama[dspy]'" in done.stderr
