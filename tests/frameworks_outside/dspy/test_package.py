"""The exports of the package, its page and its example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.document_blocks import blocks_of, run_blocks

ROOT = Path(__file__).parents[3]


def test_names_are_documented_and_nothing_leaks() -> None:
    """The environment of `make test` does not have DSPy."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "xlc_dspy"]
    command.append(str(ROOT / "tests" / "test_public_names.py"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_page_runs_as_pasted() -> None:
    run_blocks(blocks_of(ROOT / "docs" / "dspy.md"))


def test_example(tmp_path: Path) -> None:
    saved = tmp_path / "sort.json"
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "dspy_tickets.py"), "--save", str(saved)]
    environment = {**os.environ, "DSPY_CACHEDIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()[-2:]  # DSPy reports its progress before
    assert [line.split()[0] in {"billing", "technical"} for line in answers] == [True, True]
    assert '"demos"' in saved.read_text()


def test_core_imports_no_dspy() -> None:
    code = "import sys, xlc_core; xlc_core.Engine; print('dspy' in sys.modules, 'xlc_dspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_missing_dspy_is_named() -> None:
    code = "import sys; sys.modules['dspy'] = None\nimport xlc_dspy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'xllama[dspy]'" in done.stderr
